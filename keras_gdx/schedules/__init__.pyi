# Written by `python tools/catalogue.py`.

from keras_gdx.schedules.base import Clipped as Clipped
from keras_gdx.schedules.base import Product as Product
from keras_gdx.schedules.base import Schedule as Schedule
from keras_gdx.schedules.base import Shifted as Shifted
from keras_gdx.schedules.base import Sum as Sum
from keras_gdx.schedules.constant import Constant as Constant
from keras_gdx.schedules.cosine import Cosine as Cosine
from keras_gdx.schedules.linear import Linear as Linear
from keras_gdx.schedules.polynomial import Polynomial as Polynomial
from keras_gdx.schedules.power_decay import PowerDecay as PowerDecay
from keras_gdx.schedules.relative_step import RelativeStep as RelativeStep
from keras_gdx.schedules.sequential import Sequential as Sequential
from keras_gdx.schedules.warmup import Warmup as Warmup
from keras_gdx.schedules.warmup_stable_decay import WarmupStableDecay as WarmupStableDecay
