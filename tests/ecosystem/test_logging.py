"""Programs that record training see our values, beside our own callbacks."""

import keras
import pytest

from keras_gdx import optimizers, schedules
from keras_gdx.callbacks import (
    HyperparameterLogger,
    ResumableCheckpoint,
    TensorBoardScalars,
    WeightAverager,
)
from tests.events import scalars

pytestmark = pytest.mark.ecosystem


def compiled(problem):
    model = problem.network()
    model.compile(optimizers.AdamW(schedules.Cosine(0.1, 6)), problem.loss)
    return model


def test_tensorboard_of_keras(problem, tmp_path):
    pytest.importorskip("tensorboard")
    callbacks = [
        HyperparameterLogger(["learning_rate"]),
        keras.callbacks.TensorBoard(tmp_path / "theirs", histogram_freq=1),
        TensorBoardScalars(tmp_path / "ours"),
        WeightAverager("ema"),
    ]
    model = compiled(problem)
    given = {"epochs": 2, "verbose": 0, "callbacks": callbacks}
    history = model.fit(problem.x, problem.y, **given).history
    theirs, ours = scalars(tmp_path / "theirs"), scalars(tmp_path / "ours")
    for name in ("loss", "learning_rate"):
        expected = [(epoch, pytest.approx(value)) for epoch, value in enumerate(history[name])]
        assert theirs[f"train:epoch_{name}"] == ours[f"train:epoch_{name}"] == expected


def test_autolog_of_mlflow(problem, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("pandas")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/runs.db")
    mlflow.tensorflow.autolog(log_models=False, checkpoint=False)
    try:
        mlflow.create_experiment("ours", artifact_location=str(tmp_path / "artifacts"))
        mlflow.set_experiment("ours")
        with mlflow.start_run() as run:
            callbacks = [HyperparameterLogger(), ResumableCheckpoint(tmp_path / "checkpoints")]
            given = {"epochs": 2, "verbose": 0, "callbacks": callbacks}
            history = compiled(problem).fit(problem.x, problem.y, **given).history
        told = mlflow.get_run(run.info.run_id).data
    finally:
        mlflow.tensorflow.autolog(disable=True)
        mlflow.set_tracking_uri(before)
    assert told.metrics["loss"] == pytest.approx(history["loss"][-1])
    assert told.metrics["learning_rate"] == pytest.approx(0.0, abs=1e-7)
    assert told.params["epochs"] == "2"
    assert told.params["opt_name"].startswith("adam_w")
