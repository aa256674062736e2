# Written by `python tools/catalogue.py`.

from keras_gdx.regularizers.attach import apply as apply
from keras_gdx.regularizers.group_lasso import GroupLasso as GroupLasso
from keras_gdx.regularizers.lp import Lp as Lp
