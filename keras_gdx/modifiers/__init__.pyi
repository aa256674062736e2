# Written by `python tools/catalogue.py`.

from keras_gdx.modifiers.adaptive_clip import AdaptiveClip as AdaptiveClip
from keras_gdx.modifiers.base import Modifier as Modifier
from keras_gdx.modifiers.cautious import Cautious as Cautious
from keras_gdx.modifiers.centralize import Centralize as Centralize
from keras_gdx.modifiers.clip_by_block_rms import ClipByBlockRMS as ClipByBlockRMS
from keras_gdx.modifiers.gradient_noise import GradientNoise as GradientNoise
from keras_gdx.modifiers.grokfast import Grokfast as Grokfast
from keras_gdx.modifiers.normalize_by_global_norm import (
    NormalizeByGlobalNorm as NormalizeByGlobalNorm,
)
from keras_gdx.modifiers.ortho_grad import OrthoGrad as OrthoGrad
from keras_gdx.modifiers.trust_ratio import TrustRatio as TrustRatio
from keras_gdx.modifiers.update_clip import UpdateClip as UpdateClip
from keras_gdx.modifiers.z_clip import ZClip as ZClip
