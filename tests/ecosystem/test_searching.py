"""Programs that search for settings take our optimizers by name and our callbacks."""

import keras
import numpy as np
import pytest

import keras_gdx
from keras_gdx import optimizers, schedules
from keras_gdx.callbacks import FaultGuard, PlateauController, RichProgress, WeightAverager

pytestmark = pytest.mark.ecosystem


def test_optuna(problem):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial):
        rule = trial.suggest_categorical("rule", ["adamw", "lion"])
        rate = trial.suggest_float("rate", 1e-3, 1e-1, log=True)
        model = problem.network()
        model.compile(keras_gdx.create(rule, model, learning_rate=rate), problem.loss)
        return model.fit(problem.x, problem.y, epochs=2, verbose=0).history["loss"][-1]

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=2)
    assert study.best_value == min(trial.value for trial in study.trials) < 1


def test_keras_tuner(problem, tmp_path):
    """Names of Keras and of ours; callbacks, which it copies for each trial; the best model."""
    tuner = pytest.importorskip("keras_tuner")

    def build(choices):
        model = problem.network()
        if (rule := choices.Choice("rule", ["radam", "keras_gdx>Lion", "muon"])) == "muon":
            rule = keras_gdx.create("muon", model, learning_rate=schedules.create("cosine", 0.02))
        model.compile(rule, problem.loss)
        return model

    search = tuner.GridSearch(build, "val_loss", directory=tmp_path, project_name="search")
    validation = (problem.x, problem.y)
    callbacks = [WeightAverager("ema"), FaultGuard(), PlateauController(), RichProgress()]
    search.search(*validation, epochs=2, validation_data=validation, callbacks=callbacks, verbose=0)
    trials = search.oracle.get_best_trials(3)
    assert {trial.hyperparameters["rule"] for trial in trials} == {
        "radam",
        "keras_gdx>Lion",
        "muon",
    }
    (best,) = search.get_best_models(1)
    assert best.evaluate(*validation, verbose=0) == pytest.approx(trials[0].score, rel=1e-5)


@pytest.mark.parametrize("how", ["a function", "a model"])
def test_scikit_learn(how, problem):
    selection = pytest.importorskip("sklearn.model_selection")

    def build(X, y, rate=0.1):
        model = problem.network()
        rate = schedules.create("cosine", rate)
        model.compile(optimizers.AdamW(rate, use_ema=True), "categorical_crossentropy")
        return model

    made = build if how == "a function" else build(None, None)
    classifier = keras.wrappers.SKLearnClassifier(made)
    fitted = {"epochs": 8, "verbose": 0, "callbacks": [WeightAverager("ema"), FaultGuard()]}
    if how == "a function":
        grid = {"model_kwargs": [{"rate": 1e-6}, {"rate": 0.1}]}
        search = selection.GridSearchCV(classifier, grid, cv=2).fit(problem.x, problem.y, **fitted)
        assert search.best_params_ == {"model_kwargs": {"rate": 0.1}}
    else:
        scores = selection.cross_val_score(classifier, problem.x, problem.y, cv=2, params=fitted)
        assert np.min(scores) > 0.8
