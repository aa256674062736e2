"""Models with a custom `fit`, and instances with methods of their own."""

import keras
import numpy as np
import pytest

from keras_gdx import callbacks, optimizers, schedules

X, Y = np.ones((8, 1), "float32"), np.ones((8, 1), "float32")


class Plain(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1, kernel_initializer="zeros", use_bias=False)

    def call(self, x):
        return self.dense(x)


class HandsOn(Plain):
    def fit(self, x=None, y=None, **rest):
        return super().fit(x, y, **rest)


class Alone(Plain):
    """Trains in a custom loop, and calls callbacks itself."""

    def fit(self, x, y, callbacks=(), **rest):
        listed = keras.callbacks.CallbackList(callbacks, model=self, epochs=1)
        listed.on_train_begin()
        for batch in range(2):
            self.train_on_batch(x, y)
            listed.on_train_batch_end(batch, {"loss": 0.0})
        listed.on_train_end()


def fitted(cls, optimizer, listed=(), epochs=3):
    model = cls()
    model(X)
    model.compile(optimizer, "mse")
    history = model.fit(
        X, Y, batch_size=2, epochs=epochs, verbose=0, shuffle=False, callbacks=list(listed)
    )
    return model, history


@pytest.mark.parametrize(
    "make",
    [
        lambda: optimizers.SGD(0.1, gradient_accumulation_steps=3),
        lambda: optimizers.SGD(schedules.create("linear", 0.1)),
        lambda: optimizers.ScheduleFreeSGD(0.1),
    ],
    ids=["window", "planned", "schedule-free"],
)
def test_one_that_hands_on_is_as_without(make):
    one, _ = fitted(Plain, make())
    two, _ = fitted(HandsOn, make())
    assert int(one.optimizer.iterations) == int(two.optimizer.iterations)
    np.testing.assert_array_equal(one.get_weights(), two.get_weights())


AROUND = {
    "ResumableCheckpoint": lambda path: callbacks.ResumableCheckpoint(path),
    "Unfreezing": lambda path: callbacks.Unfreezing({1: "dense"}),
    "MagnitudePruning": lambda path: callbacks.MagnitudePruning(0.5),
    "TrainingReport": lambda path: callbacks.TrainingReport(path / "report.html"),
}


@pytest.mark.parametrize("name", AROUND)
def test_callbacks_around_fit_work_in_one_that_hands_on(name, tmp_path):
    results = []
    for cls in (Plain, HandsOn):
        callback = AROUND[name](tmp_path / cls.__name__)
        results.append(fitted(cls, optimizers.SGD(0.1), [callback]))
        assert not callback.inside_fit
    (one, history), (two, other) = results
    np.testing.assert_array_equal(one.get_weights(), two.get_weights())
    assert history.history == other.history


@pytest.mark.parametrize("name", sorted(AROUND.keys() - {"TrainingReport"}))
def test_callbacks_around_fit_are_refused_where_nobody_knows_of_them(name, tmp_path):
    with pytest.raises(ValueError, match=f"{name} works around Keras' own `fit`.*Alone"):
        fitted(Alone, optimizers.SGD(0.1), [AROUND[name](tmp_path)])


@pytest.mark.parametrize("optimizer", ["sgd", "ours"])
def test_methods_of_an_instance_stay(optimizer):
    model = Plain()
    told = []
    for name in ("fit", "evaluate", "save"):
        method = getattr(model, name)

        def wrapped(*args, method=method, name=name, **options):
            told.append(name)
            return method(*args, **options)

        vars(model)[name] = wrapped
    model.compile(optimizers.SGD(0.1) if optimizer == "ours" else optimizer, "mse")
    model.fit(X, Y, verbose=0)
    model.evaluate(X, Y, verbose=0)
    assert told == ["fit", "evaluate"]
