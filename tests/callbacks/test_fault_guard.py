"""Runs with bad batches, compared with runs without these batches."""

import keras
import numpy as np
import pytest

from keras_gdx import optimizers
from keras_gdx.callbacks import FaultGuard

RNG = np.random.default_rng(0)
X = RNG.normal(size=(160, 3)).astype("float32")
Y = X.sum(axis=1, keepdims=True) + RNG.normal(0, 0.1, size=(160, 1)).astype("float32")


def train(x, y, guard=None, optimizer=None, epochs=2):
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4), keras.layers.BatchNormalization()]
    )
    model.compile(optimizer or optimizers.SGD(0.01, momentum=0.9), "mse", metrics=["mae"])
    watch = [guard] if guard else []
    history = model.fit(
        x, y, batch_size=4, epochs=epochs, shuffle=False, verbose=0, callbacks=watch
    )
    return model, history.history


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e4], ids=str)
@pytest.mark.parametrize("make", [optimizers.AdamW, keras.optimizers.Adam], ids=["ours", "Keras"])
def test_equals_a_run_without_the_bad_batch(bad, make):
    x = X.copy()
    x[4 * 25 + 1] = bad
    y = Y.copy()
    y[4 * 25 + 1] = bad
    guard = FaultGuard(every=1, spike=20.0)
    found, history = train(x, y, guard, make(0.01))
    good = np.delete(np.arange(160), np.s_[100:104])
    expected, straight = train(X[good], Y[good], optimizer=make(0.01))
    assert history == straight
    for a, b in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    kind = "spike" if bad == 1e4 else f"loss is {bad}"
    assert [(f["epoch"], f["batch"], f["step"], f["back_to"]) for f in guard.faults] == [
        (0, 25, 26, 25),
        (1, 25, 66, 65),
    ]
    assert {f["kind"] for f in guard.faults} <= {kind, "loss is nan"}


def test_goes_back_as_far_as_the_last_copy():
    x = X.copy()
    x[4 * 25] = np.nan
    guard = FaultGuard(every=10)
    found, _ = train(x, Y, guard, epochs=1)
    expected, _ = train(np.delete(X, np.s_[80:104], 0), np.delete(Y, np.s_[80:104], 0), epochs=1)
    np.testing.assert_array_equal(found.get_weights()[0], expected.get_weights()[0])
    assert guard.faults[0]["back_to"] == 20


def test_cuts_the_rate():
    x = X.copy()
    x[[20, 60]] = np.nan
    guard = FaultGuard(every=1, factor=0.5)
    model, _ = train(x, Y, guard, epochs=1)
    assert [f["learning_rate"] for f in guard.faults] == pytest.approx([0.005, 0.0025])
    assert float(model.optimizer.learning_rate.numpy()) == pytest.approx(0.0025)


def test_gives_up():
    x = X.copy()
    x[40:] = np.nan
    guard = FaultGuard(every=1, patience=2)
    with pytest.raises(FloatingPointError, match=r"gives up after 3 faults.*epoch 1, batch 12"):
        train(x, Y, guard)
    assert np.isfinite(guard.model.get_weights()[0]).all()


class Aside(keras.layers.Layer):
    """Returns its input; has a weight that does not affect the loss."""

    def build(self, shape):
        self.hidden = self.add_weight(shape=(1,), initializer="zeros", name="hidden")

    def call(self, x):
        return x


def test_weights_that_are_not_finite():
    keras.utils.set_random_seed(3)
    aside = Aside()
    model = keras.Sequential([keras.Input((3,)), aside, keras.layers.Dense(1)])
    model.compile(optimizers.SGD(0.01), "mse")
    poison = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs=None: batch == 9 and aside.hidden.assign([np.nan])
    )
    guard = FaultGuard(every=5)
    model.fit(X, Y, batch_size=4, verbose=0, callbacks=[poison, guard])
    assert [(f["kind"], f["batch"]) for f in guard.faults] == [("weights are not finite", 9)]
    assert aside.hidden.numpy() == [0.0]


class Root(keras.layers.Layer):
    """The square root of the norm: at zero its value is finite and its gradient is not."""

    def call(self, x):
        return keras.ops.sqrt(keras.ops.sum(x**2, axis=1, keepdims=True))


@pytest.mark.parametrize(
    ("make", "batches"),
    [
        (lambda: optimizers.SGD(0.01, skip_nonfinite=True), [7, 21]),
        (lambda: optimizers.Lookahead(optimizers.SGD(0.01, skip_nonfinite=True)), [7, 21]),
        (
            lambda: optimizers.SGD(0.01, skip_nonfinite=True, gradient_accumulation_steps=4),
            [7, 23],
        ),
        (lambda: optimizers.LossScaleOptimizer(optimizers.SGD(0.01)), []),
    ],
    ids=["alone", "wrapped", "accumulating", "loss scaling looks for its scale"],
)
def test_skipped_updates_are_faults(make, batches):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, use_bias=False), Root()])
    model.compile(make(), "mse")
    x = X.copy()
    x[[4 * 7, 4 * 21 + 2]] = 0.0
    guard = FaultGuard(every=1000, patience=2, factor=0.5, spike=None)
    model.fit(x, Y, batch_size=4, shuffle=False, verbose=0, callbacks=[guard])
    assert np.isfinite(model.get_weights()[0]).all()
    assert [fault["batch"] for fault in guard.faults] == batches
    assert {fault["kind"] for fault in guard.faults} <= {"gradient is not finite"}
    assert all(f["back_to"] == f["step"] == f["batch"] + 1 for f in guard.faults)


# -- copies in a directory ---------------------------------------------------------------------


def bad_batch():
    x = X.copy()
    x[4 * 25 + 1] = np.nan
    return x


@pytest.mark.parametrize("every", [1, 10])
@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_copies_on_disk_are_those_in_memory(tmp_path, every, factor):
    results = []
    for directory in (None, tmp_path):
        guard = FaultGuard(every, factor=factor, directory=directory)
        model, history = train(bad_batch(), Y, guard)
        results.append((model.get_weights(), history, guard.faults))
    (a, logs, faults), (b, other_logs, other_faults) = results
    assert logs == other_logs
    np.testing.assert_equal(faults, other_faults)  # NaN is among the losses
    assert len(faults) == 2
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len([*tmp_path.glob("checkpoint-*")]) == 2


def test_a_damaged_copy_is_passed_over(tmp_path):
    class Damage(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 25:
                guard._copies._writer.wait()
                (tmp_path / "checkpoint-000000020" / "arrays.npz").write_bytes(b"")

    guard = FaultGuard(10, spike=None, directory=tmp_path)
    model = train(X, Y, epochs=1)[0]
    with pytest.warns(UserWarning, match="damaged"):
        model.fit(
            bad_batch(), Y, batch_size=4, shuffle=False, verbose=0, callbacks=[guard, Damage()]
        )
    assert guard.faults[0]["back_to"] == 10


def test_what_other_runs_left_is_removed(tmp_path):
    train(X, Y, FaultGuard(30, directory=tmp_path))
    assert {p.name for p in tmp_path.iterdir()} == {"checkpoint-000000030", "checkpoint-000000060"}
    guard = FaultGuard(20, directory=tmp_path)
    train(bad_batch(), Y, guard, epochs=1)
    assert guard.faults[0]["back_to"] == 20
    assert {p.name for p in tmp_path.iterdir()} == {"checkpoint-000000020", "checkpoint-000000040"}


def test_a_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot be written"):
        train(X, Y, FaultGuard(directory=tmp_path / "file"), epochs=1)


def test_quiet_where_nothing_is_wrong():
    guard = FaultGuard(every=3)
    found, history = train(X, Y, guard)
    expected, straight = train(X, Y)
    assert not guard.faults
    assert history == straight
    np.testing.assert_array_equal(found.get_weights()[0], expected.get_weights()[0])


def test_a_directory_without_a_name_is_refused():
    with pytest.raises(ValueError, match="`directory` must be the name of a folder or None"):
        FaultGuard(directory="")
