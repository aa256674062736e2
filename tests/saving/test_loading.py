"""Weights load from any file; an optimizer loads state of its own rule, and warns otherwise."""

import io
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest

from keras_gdx import optimizers

RNG = np.random.default_rng(0)
DATA = [RNG.normal(size=(3, 2)), RNG.normal(size=2), RNG.normal(size=(2, 1)), RNG.normal(size=1)]
MAKE = {
    "nothing": lambda: None,
    "Keras' Adam": lambda: keras.optimizers.Adam(0.1),
    "AdamW": lambda: optimizers.AdamW(0.1),
    "Lion": lambda: optimizers.Lion(0.1),
    "ScheduleFreeAdamW": lambda: optimizers.ScheduleFreeAdamW(0.1),
    "Lookahead": lambda: optimizers.Lookahead(optimizers.AdamW(0.1)),
    "Lookahead around Lion": lambda: optimizers.Lookahead(optimizers.Lion(0.1)),
    "LocalSteps": lambda: optimizers.LocalSteps(optimizers.AdamW(0.1)),
}


def network(optimizer, steps):
    """A small model after n updates; with 0 its optimizer is not built."""
    layers = [keras.Input((3,)), keras.layers.Dense(2, name="a"), keras.layers.Dense(1, name="b")]
    net = keras.Sequential(layers, name="net")
    if optimizer is not None:
        net.compile(optimizer, "mse")
    for _ in range(steps):
        net.optimizer.apply([keras.ops.array(g, "float32") for g in DATA], net.trainable_variables)
    return net


def state(net, copies=True):
    """The optimizer's state, without copies of weights, which follow the loaded weights."""
    kept = net.optimizer.variables
    return [v.numpy() for v in kept if copies or not v.name.endswith("slow")]


def everything(net):
    return net.get_weights() + state(net)


def same(a, b):
    return len(a) == len(b) and all(map(np.array_equal, a, b))


def in_file(net):
    """The weights that it saves: the evaluation weights."""
    if not hasattr(getattr(net, "optimizer", None), "evaluation_weights"):
        return net.get_weights()
    with net.optimizer.evaluation_weights():
        return net.get_weights()


def messages(caught):
    return [str(w.message) for w in caught if issubclass(w.category, UserWarning)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The model that was saved, and the file."""
    known = {}

    def make(name, steps):
        if (name, steps) not in known:
            path = tmp_path_factory.mktemp("saved") / "net.weights.h5"
            net = network(MAKE[name](), steps)
            net.save_weights(path)
            known[name, steps] = net, path
        return known[name, steps]

    return make


NONE = "The file has no optimizer state"
FOREIGN = "The file has the state of an optimizer that is not from keras_gdx"
WHOSE = "The file has the state of "
TOLD = {  # how the warning begins, for `AdamW` that is built and for one that is not
    ("nothing", 0): (NONE, NONE),
    ("Keras' Adam", 0): (FOREIGN, FOREIGN),
    ("Keras' Adam", 2): (FOREIGN, FOREIGN),
    ("AdamW", 0): (WHOSE + "AdamW before its first step", None),
    ("AdamW", 2): (None, WHOSE + "AdamW, and this one is not built yet"),
    ("Lion", 2): (WHOSE + "Lion", WHOSE + "Lion"),
    ("ScheduleFreeAdamW", 2): (WHOSE + "ScheduleFreeAdamW", WHOSE + "ScheduleFreeAdamW"),
    ("Lookahead", 2): (WHOSE + "Lookahead around AdamW", WHOSE + "Lookahead around AdamW"),
}


@pytest.mark.parametrize("skip", [False, True], ids=["strict", "skip_mismatch"])
@pytest.mark.parametrize("built", [True, False], ids=["built", "not built"])
@pytest.mark.parametrize(("name", "steps"), TOLD)
def test_weights_of_any_file(name, steps, built, skip, saved, recwarn):
    source, path = saved(name, steps)
    net = network(MAKE["AdamW"](), 1 if built else 0)
    before = state(net)
    net.load_weights(path, skip_mismatch=skip)
    assert same(net.get_weights(), in_file(source))
    told = TOLD[name, steps][0 if built else 1]
    if told is None:
        assert messages(recwarn) == []
        assert same(state(net), state(source))
        return
    outcome = "keeps its current state" if built else "starts from scratch"
    [text] = messages(recwarn)
    assert text.startswith(told)
    assert text.endswith(f"so AdamW {outcome}.")
    assert same(state(net), before)


@pytest.mark.parametrize(("name", "steps"), [("AdamW", 2), ("Lookahead", 2), ("Lion", 2)])
def test_optimizers_of_keras_load_weights_from_our_files(name, steps, saved):
    source, path = saved(name, steps)
    net = network(MAKE["Keras' Adam"](), 1)
    before = state(net)
    with pytest.warns(UserWarning, match="Skipping variable loading for optimizer"):
        net.load_weights(path)
    assert same(net.get_weights(), source.get_weights())
    assert same(state(net), before)


@pytest.mark.parametrize("target", ["Lookahead around Lion", "LocalSteps", "AdamW"])
def test_what_is_inside_goes_with_the_whole(target, saved, recwarn):
    """Both may have the same inner optimizer: half of a state must not be loaded."""
    source, path = saved("Lookahead", 2)
    net = network(MAKE[target](), 1)
    before = state(net, copies=False)
    net.load_weights(path)
    assert [m.partition(",")[0] for m in messages(recwarn)] == [WHOSE + "Lookahead around AdamW"]
    assert same(state(net, copies=False), before)
    assert same(net.get_weights(), source.get_weights())
    copies = [v.numpy().ravel() for v in net.optimizer.variables if v.name.endswith("slow")]
    if copies:  # they begin again with the weights that were loaded
        loaded = np.concatenate([w.ravel() for w in net.get_weights()])
        np.testing.assert_array_equal(np.sort(np.concatenate(copies)), np.sort(loaded))
    again = network(MAKE["Lookahead"](), 1)  # a matching file after one that does not match
    for name in ("Lion", "Lookahead"):
        again.load_weights(saved(name, 2)[1])
    assert same(everything(again), everything(source))


def scaled():
    """Loss scaling around `AdamW`, with a scale other than the default."""
    optimizer = optimizers.LossScaleOptimizer(optimizers.AdamW(0.1), initial_scale=8.0)
    optimizer.build(network(None, 0).trainable_variables)
    optimizer.dynamic_scale.assign(2.0)
    optimizer.step_counter.assign(5)
    return optimizer


def as_keras_saves(optimizer, store):
    """Files from before: by position, with the inner optimizer's variables included."""
    keras.optimizers.LossScaleOptimizer.save_own_variables(optimizer, store)


@pytest.mark.parametrize(
    ("save", "options"),
    [(optimizers.LossScaleOptimizer.save_own_variables, {"fused": False}), (as_keras_saves, {})],
)
def test_loss_scaling_is_read(save, options):
    """By name, so also if the inner optimizer has another layout."""
    store: dict = {}
    save(scaled(), store)
    again = optimizers.LossScaleOptimizer(optimizers.AdamW(0.1, **options))
    again.build(network(None, 0).trainable_variables)
    again.load_own_variables(store)
    assert (float(again.dynamic_scale), int(again.step_counter)) == (2.0, 5)


def test_loss_scaling_may_come_or_go(saved, tmp_path, recwarn):
    """Its state is a scale; the inner optimizer's state is the same with and without."""
    source, path = saved("AdamW", 2)
    net = network(optimizers.LossScaleOptimizer(optimizers.AdamW(0.1, fused=False)), 0)
    net.optimizer.build(net.trainable_variables)
    net.load_weights(path)
    assert messages(recwarn) == []
    assert int(net.optimizer.inner_optimizer.iterations) == 2
    velocity = [
        slots["velocity"].read()
        for x in (net.optimizer.inner_optimizer, source.optimizer)
        for slots in x.state.slots
    ]
    assert same(velocity[:4], velocity[4:])
    net.save_weights(tmp_path / "scaled.weights.h5")
    plain = network(MAKE["AdamW"](), 1)
    plain.load_weights(tmp_path / "scaled.weights.h5")
    net.load_weights(saved("nothing", 0)[1])
    told = messages(recwarn)
    assert told[0].startswith(WHOSE + "LossScaleOptimizer around AdamW, so AdamW keeps")
    assert told[1:] == [NONE + ", so AdamW keeps its current state."]


def test_loss_scaling_around_what_has_something_inside(saved, recwarn):
    """Without it, the inner optimizer's state is at another place in the file."""
    inner = MAKE["Lookahead"]()
    net = network(optimizers.LossScaleOptimizer(inner), 0)
    net.optimizer.build(net.trainable_variables)
    before = state(net, copies=False)
    net.load_weights(saved("Lookahead", 2)[1])
    assert same(state(net, copies=False), before)
    assert len(messages(recwarn)) == 1


def changed(file, change):
    """Changes what `file`, open for writing, says about its optimizer."""
    with h5py.File(file, "r+") as content:
        group = content["optimizer/vars"]
        manifest = change(json.loads(bytes(group["manifest"][()])))
        del group["manifest"]
        group["manifest"] = np.frombuffer(manifest.encode(), "uint8")


NEWER = lambda m: json.dumps(m | {"format": 9})  # noqa: E731
REFUSED = {
    "newer": (NEWER, "has format 9; this version reads up to 1"),
    "no text": (lambda m: "{", "state of AdamW in this file is damaged"),
    "no list": (lambda m: json.dumps(m | {"variables": 3}), "manifest.variables must be a list"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused_changes_nothing(kind, saved, tmp_path):
    change, message = REFUSED[kind]
    path = tmp_path / "net.weights.h5"
    path.write_bytes(saved("AdamW", 2)[1].read_bytes())
    changed(path, change)
    net = network(MAKE["AdamW"](), 1)
    before = everything(net)
    with pytest.raises(ValueError, match=message):
        net.load_weights(path)
    assert same(everything(net), before)


def test_another_model_is_refused_and_changes_nothing(saved):
    """Keras has loaded the first layer and the optimizer when it finds that the second differs."""
    layers = [keras.Input((3,)), keras.layers.Dense(2, name="a"), keras.layers.Dense(4, name="b")]
    net = keras.Sequential(layers)
    net.compile(optimizers.AdamW(0.1), "mse")
    net.optimizer.build(net.trainable_variables)
    before = everything(net)
    with (
        pytest.raises(ValueError, match="could not be loaded"),
        pytest.warns(UserWarning, match="b/kernel"),
    ):
        net.load_weights(saved("AdamW", 2)[1])
    assert same(everything(net), before)


def test_a_model_with_the_state_of_another_rule_says_so(tmp_path):
    """As after its configuration was edited."""
    path = tmp_path / "net.keras"
    source = network(MAKE["AdamW"](), 2)
    source.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO(members["model.weights.h5"])
    changed(weights, lambda m: json.dumps(m | {"rule": "Lion"}))
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members | {"model.weights.h5": weights.getvalue()}).items():
            archive.writestr(name, content)
    with pytest.warns(UserWarning, match="state of Lion, so AdamW starts from scratch"):
        net = keras.models.load_model(path)
    assert same(net.get_weights(), source.get_weights())
    assert int(net.optimizer.iterations) == 0


@pytest.mark.parametrize("steps", [0, 2], ids=["never trained", "trained"])
def test_a_frozen_model(steps, tmp_path, recwarn):
    """Its file has state of variables that it no longer trains, or none at all.

    An optimizer without trainable variables is not built and has no state.
    """
    net = network(MAKE["AdamW"](), steps)
    net.trainable = False
    net.save(tmp_path / "net.keras")
    net.save_weights(tmp_path / "net.weights.h5")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    assert int(loaded.optimizer.iterations) == 0
    assert same(loaded.get_weights(), net.get_weights())
    loaded.load_weights(tmp_path / "net.weights.h5")
    told = {*messages(recwarn)}
    assert len(told) == (1 if steps else 0)
    assert all("not built yet" in message for message in told)


def test_a_whole_model_in_h5_is_refused(tmp_path):
    """Keras builds the optimizer of such a file for no variables, and fails."""
    net = network(MAKE["AdamW"](), 1)
    with pytest.raises(ValueError, match=r"`filepath` must be the name of a `.keras` file"):
        net.save(tmp_path / "net.h5")
    assert not (tmp_path / "net.h5").exists()
    net.save(tmp_path / "net.h5", include_optimizer=False)
    loaded = keras.models.load_model(tmp_path / "net.h5")
    assert same(loaded.get_weights(), net.get_weights())
