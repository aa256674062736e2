"""What a program sets otherwise than when the checkpoint was saved is named."""

import shutil
import warnings

import keras
import numpy as np
import pytest

from keras_gdx import SAM, optimizers
from keras_gdx.callbacks import ResumableCheckpoint

X = np.arange(16.0).reshape(16, 1) / 16


def resume(
    folder, optimizer="adam", loss="mse", dropout=0.1, dtype="float32", x=X, rho=0, **options
):
    """Fits for one epoch; nothing is left to train if the checkpoint is that of a whole run."""
    layers = [keras.layers.Dropout(dropout, dtype=dtype), keras.layers.Dense(1, dtype=dtype)]
    model = keras.Sequential([keras.Input((1,)), *layers])
    model.compile(optimizer, loss)
    SAM(model, rho)
    kept = ResumableCheckpoint(folder, **options.pop("kept", {}))
    options = {"batch_size": 4, "verbose": 0, **options}
    model.fit(x, x, callbacks=[kept, *options.pop("more", ())], **options)
    return model


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    for name, make in (("keras", "adam"), ("ours", optimizers.Adam(0.01))):
        resume(folder / name, make)
    return folder


def adam(**options):
    return lambda: keras.optimizers.Adam(**options)


CHANGES = {
    "nothing": ("keras", {}, ()),
    "beta": ("keras", {"optimizer": adam(beta_1=0.5)}, ["`optimizer.beta_1` was 0.9, now 0.5"]),
    "clip": ("keras", {"optimizer": adam(clipnorm=1.0)}, ["clipnorm` was None, now 1", "set now"]),
    "rate": (
        "keras",
        {"optimizer": adam(learning_rate=0.5)},
        ["learning_rate` was 0.001, now 0.5", "checkpoint's value is used"],
    ),
    "our beta": (
        "ours",
        {"optimizer": lambda: optimizers.Adam(0.01, beta_1=0.5)},
        ["beta_1` was 0.9, now 0.5", "checkpoint's value is used"],
    ),
    "dtype": ("keras", {"dtype": "mixed_bfloat16"}, ["'float32', now 'mixed_bfloat16'"]),
    "layer": ("keras", {"dropout": 0.5}, ["Dropout.rate` was 0.1, now 0.5"]),
    "loss": ("keras", {"loss": keras.losses.Huber(2.0)}, ["compile.loss` was 'mse', now Huber"]),
    "SAM": ("keras", {"rho": 0.1}, ["`SAM` was None, now Ascent"]),
    "batch size": ("keras", {"batch_size": 8}, ["batch_size` was 4, now 8"]),
    "examples": ("keras", {"x": X[:8]}, ["num_batches` was 4, now 2", "examples` was 16, now 8"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_between_runs_are_named(change, finished, tmp_path):
    kind, options, said = CHANGES[change]
    shutil.copytree(finished / kind, tmp_path / "run")
    if callable(options.get("optimizer")):
        options = options | {"optimizer": options["optimizer"]()}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        resume(tmp_path / "run", **options)
    messages = [str(w.message) for w in caught if "The program has changed" in str(w.message)]
    assert len(messages) == bool(said)
    for part in said:
        assert part in messages[0]


def test_what_training_itself_has_changed_is_no_change(tmp_path):
    """The same model trains on with the rate that a callback has set."""
    lower = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    optimizer = keras.optimizers.SGD(0.1)
    resume(tmp_path, optimizer, more=[lower])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = resume(tmp_path, keras.optimizers.SGD(float(optimizer.learning_rate)))
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)


def test_a_number_of_the_checkpoint_is_the_argument_too(finished, tmp_path):
    """Not only the variable that the step reads."""
    shutil.copytree(finished / "ours", tmp_path / "run")
    with pytest.warns(UserWarning, match="checkpoint's value is used"):
        model = resume(tmp_path / "run", optimizers.Adam(0.01, beta_1=0.5))
    assert model.optimizer.beta_1 == 0.9
    assert model.optimizer.get_config()["beta_1"] == 0.9


class Stop(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("change", [{"batch_size": 4}, {"shuffle": False}], ids=str)
def test_other_data_in_the_middle_of_an_epoch_is_refused(change, tmp_path):
    """Also if it has the same number of batches."""
    with pytest.raises(KeyboardInterrupt):
        resume(tmp_path, x=X[:5], more=[Stop()], kept={"every": "1 step"}, batch_size=3)
    with pytest.raises(
        ValueError, match=f"the data has changed: .*`data.{next(iter(change))}` was"
    ):
        resume(tmp_path, x=X[:5], **{"batch_size": 3} | change)
