# Written by `python tools/catalogue.py`.

from keras_gdx.constraints.soft_threshold import SoftThreshold as SoftThreshold
