# Written by `python tools/catalogue.py`.

from keras_gdx.callbacks.audit_log import AuditLog as AuditLog
from keras_gdx.callbacks.base import Callback as Callback
from keras_gdx.callbacks.batch_size_schedule import BatchSizeSchedule as BatchSizeSchedule
from keras_gdx.callbacks.dynamic_surgery import DynamicSurgery as DynamicSurgery
from keras_gdx.callbacks.energy_budget import EnergyBudget as EnergyBudget
from keras_gdx.callbacks.energy_monitor import EnergyMonitor as EnergyMonitor
from keras_gdx.callbacks.fault_guard import FaultGuard as FaultGuard
from keras_gdx.callbacks.gradient_monitor import GradientMonitor as GradientMonitor
from keras_gdx.callbacks.hyperparameter_logger import HyperparameterLogger as HyperparameterLogger
from keras_gdx.callbacks.learning_rate_finder import LearningRateFinder as LearningRateFinder
from keras_gdx.callbacks.magnitude_pruning import MagnitudePruning as MagnitudePruning
from keras_gdx.callbacks.plateau_controller import PlateauController as PlateauController
from keras_gdx.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau as ReduceLROnPlateau
from keras_gdx.callbacks.regularization_monitor import (
    RegularizationMonitor as RegularizationMonitor,
)
from keras_gdx.callbacks.resumable_checkpoint import ResumableCheckpoint as ResumableCheckpoint
from keras_gdx.callbacks.rich_progress import RichProgress as RichProgress
from keras_gdx.callbacks.sharpness_monitor import SharpnessMonitor as SharpnessMonitor
from keras_gdx.callbacks.snapshot_ensemble import SnapshotEnsemble as SnapshotEnsemble
from keras_gdx.callbacks.step_evaluator import StepEvaluator as StepEvaluator
from keras_gdx.callbacks.tensorboard_scalars import TensorBoardScalars as TensorBoardScalars
from keras_gdx.callbacks.throughput_monitor import ThroughputMonitor as ThroughputMonitor
from keras_gdx.callbacks.time_budget import TimeBudget as TimeBudget
from keras_gdx.callbacks.training_report import TrainingReport as TrainingReport
from keras_gdx.callbacks.unfreezing import Unfreezing as Unfreezing
from keras_gdx.callbacks.weight_averager import WeightAverager as WeightAverager
from keras_gdx.integration.stateful import Stateful as Stateful
