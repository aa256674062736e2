# Written by `python tools/catalogue.py`.

from keras_gdx.callbacks.base import Callback as Callback
from keras_gdx.callbacks.base import Stateful as Stateful
from keras_gdx.callbacks.hyperparameter_logger import HyperparameterLogger as HyperparameterLogger
from keras_gdx.callbacks.plateau_controller import PlateauController as PlateauController
from keras_gdx.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau as ReduceLROnPlateau
from keras_gdx.callbacks.regularization_monitor import (
    RegularizationMonitor as RegularizationMonitor,
)
from keras_gdx.callbacks.resumable_checkpoint import ResumableCheckpoint as ResumableCheckpoint
from keras_gdx.callbacks.step_evaluator import StepEvaluator as StepEvaluator
from keras_gdx.callbacks.throughput_monitor import ThroughputMonitor as ThroughputMonitor
from keras_gdx.callbacks.time_budget import TimeBudget as TimeBudget
