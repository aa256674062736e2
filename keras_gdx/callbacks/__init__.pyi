# Written by `python tools/catalogue.py`.

from keras_gdx.callbacks.base import Callback as Callback
from keras_gdx.callbacks.base import Stateful as Stateful
from keras_gdx.callbacks.hyperparameter_logger import HyperparameterLogger as HyperparameterLogger
from keras_gdx.callbacks.plateau_controller import PlateauController as PlateauController
from keras_gdx.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau as ReduceLROnPlateau
