"""A `PyDataset` that changes itself resumes exactly, or `fit` says that it cannot."""

import keras
import numpy as np
import pytest

from keras_gdx.callbacks import ResumableCheckpoint

X = np.random.default_rng(0).normal(size=(24, 2)).astype("float32")


class Own(keras.utils.PyDataset):
    """As in many tutorials: examples in an order of its own."""

    def __init__(self):
        super().__init__()
        self.order = np.arange(24)

    def __len__(self):
        return 6

    def __getitem__(self, index):
        x = X[self.order[4 * index : 4 * index + 4]]
        return x, x[:, :1]


class Stateful(Own):
    def state(self):
        return {"order": self.order}

    def restore(self, state):
        self.order = np.array(state["order"])


class AtTheEnd(Stateful):
    def on_epoch_end(self):
        np.random.shuffle(self.order)


class AtTheBeginning(Stateful):
    def on_epoch_begin(self):
        np.random.shuffle(self.order)


class Forgetful(Own):
    def on_epoch_end(self):
        np.random.shuffle(self.order)


class Augmenting(Own):
    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + np.random.normal(), y


class AugmentingByIndex(Own):
    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + np.random.default_rng(index).normal(), y


class Crash(keras.callbacks.Callback):
    def __init__(self, after):
        super().__init__()
        self.left = after

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def fit(folder, data, *more):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    listed = [*more, ResumableCheckpoint(folder, every="1 step")]
    model.fit(data, shuffle=False, epochs=4, verbose=0, callbacks=listed)
    return model.get_weights()[0]


@pytest.mark.parametrize("make", [AtTheEnd, AtTheBeginning, AugmentingByIndex])
def test_goes_on_exactly(make, tmp_path):
    """From the end of an epoch, and from the middle of one."""
    whole = fit(tmp_path / "whole", make())
    for batches in (7, 9):
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "parts", make(), Crash(batches))
    np.testing.assert_array_equal(fit(tmp_path / "parts", make()), whole)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Forgetful, r"Forgetful.on_epoch_end` changes the data"),
        (Augmenting, "draws random"),
    ],
)
def test_what_is_not_exact_is_said_in_the_first_run(make, said, tmp_path):
    with pytest.warns(UserWarning, match=said), pytest.raises(KeyboardInterrupt):
        fit(tmp_path, make(), Crash(2))
