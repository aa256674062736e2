"""Several callbacks in one `fit`: the weights that are left, evaluated and saved agree.

Every registered callback runs alone. Those that change the run then run beside each other, four at
a time and each before and after each, and beside all the others, first or last; Keras' own
callbacks too. `KERAS_GDX_MATRIX=full` has them in pairs, and both first and last. The rule has
evaluation weights of its own. No pair needs an entry here: with any callbacks, the model holds at
the end of an epoch, after `fit` and in files what some validation measured (or what it began with,
if a sweep was undone), and pruned weights are zero wherever the log says so.
"""

import itertools
from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gdx import optimizers
from keras_gdx.callbacks import (
    DynamicSurgery,
    FaultGuard,
    MagnitudePruning,
    PlateauController,
    WeightAverager,
)
from keras_gdx.checkpoint.snapshot import pruned
from keras_gdx.config import declared_arguments
from keras_gdx.registry import REGISTRY
from keras_gdx.report import charts
from keras_gdx.report.markup import element
from tests.callbacks.test_callback_contract import Example
from tests.matrix import WHOLE_MATRIX

OURS = {entry.name: entry.cls for entry in REGISTRY.values() if entry.kind == "callback"}
SHARPER = {  # where the example of the docstring does not act in a run as short as this
    "magnitudepruning": {"sparsity": 0.75, "end": 5, "every": 2},
    "plateaucontroller": {"mode": "max", "patience": 1, "rollback": True},
    "faultguard": {"every": 3},
    "weightaverager": {"start": 0},
}
KERAS = {
    "EarlyStopping": lambda folder: keras.callbacks.EarlyStopping(
        "val_loss", mode="max", patience=9, restore_best_weights=True
    ),
    "ModelCheckpoint": lambda folder: keras.callbacks.ModelCheckpoint(
        folder / "best.weights.h5", mode="max", save_best_only=True, save_weights_only=True
    ),
    "ReduceLROnPlateau": lambda folder: keras.callbacks.ReduceLROnPlateau(mode="max", patience=1),
    "LearningRateScheduler": lambda folder: keras.callbacks.LearningRateScheduler(
        lambda epoch: 0.1 / (epoch + 1)
    ),
    "BackupAndRestore": lambda folder: keras.callbacks.BackupAndRestore(folder / "backup"),
    "CSVLogger": lambda folder: keras.callbacks.CSVLogger(folder / "log.csv"),
    "TerminateOnNaN": lambda folder: keras.callbacks.TerminateOnNaN(),
}
ALL = [*OURS, *KERAS]
X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
Y = np.stack([X.sum(1), X[:, 0] - X[:, 1], X[:, 2]], 1).astype("float32")
DATA = tf.data.Dataset.from_tensor_slices((X, Y))


def model_of(optimizer=None, **options):
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dense(4, name="body"), keras.layers.Dense(3, name="head")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    optimizer = optimizer or optimizers.ScheduleFreeSGD(0.1, **options)
    model.compile(optimizer, "mse", run_eagerly=True)
    return model


def loss_of(weights):
    """The loss by hand."""
    body, body_bias, head, head_bias = weights
    return float(np.mean(((X @ body + body_bias) @ head + head_bias - Y) ** 2))


def one_of(weights, evaluated):
    """Whether the weights are those of an evaluation, apart from what was pruned since."""
    return any(
        all(np.allclose(w, np.where(w == 0, 0, x), atol=1e-6) for w, x in pairs)
        for pairs in ([*zip(weights, each, strict=True)] for each in evaluated)
    )


@cache
def shown(cls, problem):
    """The arguments of the callback in the example of the docstring."""
    example = Example(cls, problem).callback
    return {each: getattr(example, each) for each in declared_arguments(cls)}


def make(name, problem, folder):
    if name in KERAS:
        return KERAS[name](folder)
    cls = OURS[name]
    arguments = shown(cls, problem) | SHARPER.get(name, {})
    for each, value in arguments.items():
        if each.endswith("data"):
            arguments[each] = (X, Y)
        elif isinstance(value, str) and value.startswith("/"):  # a file or a folder
            arguments[each] = str(folder / f"{name}-{each}")
    return cls(**arguments)


class Witness(keras.callbacks.Callback):
    """Keeps what was validated, and compares the model at the end of each epoch with it."""

    def on_train_begin(self, logs=None):
        self.begin, self.evaluated, self.losses, self.rates = self.model.get_weights(), [], [], []

    def on_test_end(self, logs=None):
        self.evaluated.append(self.model.get_weights())

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append(logs["val_loss"])
        self.rates.append(float(self.model.optimizer.learning_rate))
        assert logs["val_loss"] == pytest.approx(loss_of(self.evaluated[-1]), rel=1e-4), "logged"
        assert one_of(self.model.get_weights(), self.evaluated), "shown"


def run(names, problem, folder):
    """Trains, and checks what must hold with any callbacks; returns what the run was like."""
    folder = folder / "-".join(each[:4] for each in names)
    folder.mkdir(parents=True, exist_ok=True)
    listed = [make(name, problem, folder) for name in names]
    model = model_of(gradient_accumulation_steps=2 if "batchsizeschedule" in names else None)
    witness, undone = Witness(), "learningratefinder" in names
    logs = model.fit(
        DATA.batch(8), validation_data=DATA.batch(16), callbacks=[*listed, witness], epochs=3,
        verbose=0, shuffle=False,
    ).history  # fmt: skip
    left = model.get_weights()
    assert one_of(left, [witness.begin] if undone else witness.evaluated), "left"
    assert model.test_on_batch(X, Y) == pytest.approx(loss_of(left), rel=1e-4), "evaluated"
    assert not undone or all(np.all(each.mask) for each in pruned(model)), "masks"
    if "EarlyStopping" in names and not undone:
        assert one_of(left, [witness.evaluated[np.argmax(witness.losses)]]), "restored"
    if "ModelCheckpoint" in names:
        saved = model_of()
        saved.optimizer.build(saved.trainable_variables)
        saved.load_weights(folder / "best.weights.h5")
        assert one_of(saved.get_weights(), [witness.evaluated[np.argmax(witness.losses)]]), "saved"
    for each in listed:
        for member in getattr(each, "members", ()):
            assert one_of(member, witness.evaluated), "members"
    if "sparsity" in logs and not undone:
        zeros = np.concatenate([(w == 0).ravel() for w in (left[0], left[2])])
        assert zeros.mean() == pytest.approx(logs["sparsity"][-1]), "sparsity"
    return witness.losses, witness.rates, loss_of(left)


@pytest.fixture(autouse=True, scope="module")
def no_charts():
    """Reports are written, but without drawings, which take longer than the training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charts, "drawing", lambda *_: element("svg"))
        yield


@pytest.fixture(scope="module")
def movers(problem, tmp_path_factory):
    """The callbacks that change a run which has no other one."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        plain = run((), problem, folder)
        return [name for name in ALL if run((name,), problem, folder) != plain]


def with_each_pair(names):
    """Lists of four such that, of any two names, each is before the other in one of them."""
    left = dict.fromkeys(itertools.permutations(names, 2))
    if WHOLE_MATRIX:
        return [*left]  # alone, so that no third callback can hide what two do to each other
    lists = []
    while left:
        listed = next(iter(left))
        while len(listed) < 4:
            others, places = [x for x in names if x not in listed], range(len(listed) + 1)
            longer = [(*listed[:i], x, *listed[i:]) for x in others for i in places]
            listed = max(longer, key=lambda x: len(left.keys() & itertools.combinations(x, 2)))
        lists.append(listed)
        for pair in itertools.combinations(listed, 2):
            left.pop(pair, None)
    return lists


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*BackupAndRestore")  # beside `ResumableCheckpoint`
def test_each_pair_agrees(movers, problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    others = [name for name in ALL if name not in movers]
    assert len(movers) > 8
    assert len(others) > 15
    lists = with_each_pair(movers)
    found = {pair for each in lists for pair in itertools.combinations(each, 2)}
    assert found == {*itertools.permutations(movers, 2)}
    for i, name in enumerate(movers):
        for order in (1, -1) if WHOLE_MATRIX else ((-1) ** i,):
            lists.append((name, *others)[::order])
    wrong = {}
    for place, names in enumerate(lists):
        try:
            run(names, problem, tmp_path / str(place))
        except Exception as error:
            wrong[names[:4]] = f"{type(error).__name__}: {error}".partition("\n")[0]
    for names, text in wrong.items():
        print(names, text)
    assert not wrong


# -- with the averages of optimizers -------------------------------------------------------------

AVERAGING = {
    "use_ema": lambda: optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9),
    "overwrite": lambda: optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=5),
    "keras": lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9),
    "lookahead": lambda: optimizers.Lookahead(optimizers.SGD(0.1), sync_period=5),
    "schedule_free": lambda: optimizers.ScheduleFreeSGD(0.1),
}


def trained_with(optimizer, *listed):
    model = model_of(optimizer)
    options = {"validation_data": DATA.batch(16), "epochs": 5, "verbose": 0, "shuffle": False}
    return model, model.fit(DATA.batch(8), callbacks=[*listed], **options).history


@pytest.mark.parametrize("kind", AVERAGING)
@pytest.mark.parametrize("swap", [False, True])
def test_masks_hold_in_the_averages_of_optimizers(kind, swap):
    if swap and kind in ("lookahead", "schedule_free"):
        pytest.skip("no moving averages")
    pruning = MagnitudePruning(0.75, end=7, every=2)
    swaps = [keras.callbacks.SwapEMAWeights()] * swap
    model, logs = trained_with(AVERAGING[kind](), pruning, *swaps)
    kernels = [w for w in model.get_weights() if w.ndim == 2]
    assert logs["sparsity"][-1] == 0.75
    assert np.mean(np.concatenate([(w == 0).ravel() for w in kernels])) == 0.75


@pytest.mark.parametrize("kind", AVERAGING)
def test_averages_are_those_of_the_trained_weights(kind):
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(watch.model.get_weights())
    )
    model, logs = trained_with(AVERAGING[kind](), watch, WeightAverager("swa"))
    for found, *samples in zip(model.get_weights(), *seen[1::2], strict=True):
        np.testing.assert_allclose(found, np.mean(samples, axis=0), rtol=1e-5, atol=1e-6)
    assert logs["val_loss"][-1] == pytest.approx(loss_of(model.get_weights()), rel=1e-5)


def test_averages_of_the_optimizer_are_kept_with_the_swap(tmp_path):
    """As docs/migrate has it for `SwapEMAWeights`."""
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    path = tmp_path / "best.keras"
    keep = keras.callbacks.ModelCheckpoint(path, save_best_only=True)
    model, logs = trained_with(AVERAGING["use_ema"](), swap, keep)
    saved = keras.models.load_model(path)
    assert loss_of(saved.get_weights()) == pytest.approx(min(logs["val_loss"]), rel=1e-5)
    assert loss_of(model.get_weights()) == pytest.approx(logs["val_loss"][-1], rel=1e-5)


@pytest.mark.parametrize("other", [WeightAverager, keras.callbacks.SwapEMAWeights])
def test_two_callbacks_that_evaluate_averages_are_refused(other):
    with pytest.raises(ValueError, match="evaluates averages"):
        trained_with(AVERAGING["use_ema"](), other(), WeightAverager())


# -- after a fault -------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("kind", [None, "magnitude", "surgery"])
def test_a_fault_does_not_undo_what_others_have_set(order, kind):
    """The copy is from step 0; rate and masks have changed since."""

    class Poison(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations == 8:
                kernel = self.model.layers[0].kernel
                kernel.assign(kernel * np.inf)

    guard = FaultGuard(every=9, spike=None)
    lower = PlateauController("loss", mode="max", patience=1, factor=0.1, every=2)
    rates = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 10)
    kinds = {None: [], "magnitude": [MagnitudePruning(0.75, end=7, every=2)],
             "surgery": [DynamicSurgery(0.5, end=7, every=2)]}  # fmt: skip
    listed = [lower, rates, *kinds[kind], guard][::order]
    model, logs = trained_with(optimizers.SGD(0.1), Poison(), *listed)
    assert [fault["back_to"] for fault in guard.faults] == [0]
    final = 0.1**6 * 0.1 ** len(lower.changes)
    assert float(model.optimizer.learning_rate) == pytest.approx(final, rel=1e-5)
    if kind:
        kernels = [w for w in model.get_weights() if w.ndim == 2]
        zeros = np.mean(np.concatenate([(w == 0).ravel() for w in kernels]))
        assert zeros == pytest.approx(logs["sparsity"][-1])
        assert zeros > 0.4
    assert all(np.isfinite(w).all() for w in model.get_weights())
