# Written by `python tools/catalogue.py`.

from keras_gdx.regularizers.attach import apply as apply
from keras_gdx.regularizers.decov import DeCov as DeCov
from keras_gdx.regularizers.entropy_penalty import EntropyPenalty as EntropyPenalty
from keras_gdx.regularizers.gradient_penalty import GradientPenalty as GradientPenalty
from keras_gdx.regularizers.group_lasso import GroupLasso as GroupLasso
from keras_gdx.regularizers.hoyer_sparsity import HoyerSparsity as HoyerSparsity
from keras_gdx.regularizers.huber import Huber as Huber
from keras_gdx.regularizers.jacobian_penalty import JacobianPenalty as JacobianPenalty
from keras_gdx.regularizers.l1_l2 import L1 as L1
from keras_gdx.regularizers.l1_l2 import L1L2 as L1L2
from keras_gdx.regularizers.l1_l2 import L2 as L2
from keras_gdx.regularizers.l2_sp import L2SP as L2SP
from keras_gdx.regularizers.lp import Lp as Lp
from keras_gdx.regularizers.nuclear_norm import NuclearNorm as NuclearNorm
from keras_gdx.regularizers.scheduled import Scheduled as Scheduled
from keras_gdx.regularizers.slimming import Slimming as Slimming
from keras_gdx.regularizers.soft_orthogonal import SoftOrthogonal as SoftOrthogonal
from keras_gdx.regularizers.sparse_group_lasso import SparseGroupLasso as SparseGroupLasso
from keras_gdx.regularizers.spectral_penalty import SpectralPenalty as SpectralPenalty
from keras_gdx.regularizers.srip import SRIP as SRIP
