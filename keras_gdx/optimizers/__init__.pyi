# Written by `python tools/catalogue.py`.

from keras_gdx.optimizers.adafactor import Adafactor as Adafactor
from keras_gdx.optimizers.adam import Adam as Adam
from keras_gdx.optimizers.adamw import AdamW as AdamW
from keras_gdx.optimizers.adan import Adan as Adan
from keras_gdx.optimizers.base import Optimizer as Optimizer
from keras_gdx.optimizers.dog import DoG as DoG
from keras_gdx.optimizers.lamb import LAMB as LAMB
from keras_gdx.optimizers.lion import Lion as Lion
from keras_gdx.optimizers.local_steps import LocalSteps as LocalSteps
from keras_gdx.optimizers.lookahead import Lookahead as Lookahead
from keras_gdx.optimizers.loss_scale_optimizer import LossScaleOptimizer as LossScaleOptimizer
from keras_gdx.optimizers.muon import Muon as Muon
from keras_gdx.optimizers.normuon import NorMuon as NorMuon
from keras_gdx.optimizers.radam import RAdam as RAdam
from keras_gdx.optimizers.schedule_free import ScheduleFree as ScheduleFree
from keras_gdx.optimizers.schedule_free import ScheduleFreeAdamW as ScheduleFreeAdamW
from keras_gdx.optimizers.schedule_free import ScheduleFreeSGD as ScheduleFreeSGD
from keras_gdx.optimizers.sgd import SGD as SGD
from keras_gdx.optimizers.shampoo import Shampoo as Shampoo
from keras_gdx.optimizers.soap import SOAP as SOAP
