"""Gradient noise."""

from keras import ops

from keras_gdx.arguments import NonNegative, NonNegativeInt, needs_tensorflow
from keras_gdx.backends import backend
from keras_gdx.modifiers.base import Modifier
from keras_gdx.registry import register

__all__ = ["GradientNoise"]


@register
class GradientNoise(Modifier):
    r"""Adds Gaussian noise to the gradient, with a variance that decays.

    $$g \leftarrow g + \sqrt{\eta / t^\gamma}\; \varepsilon, \qquad
      \varepsilon \sim \mathcal N(0, 1)$$

    where $t$ counts updates from 1. The noise is a function of `seed`, $t$ and the variable's
    number in the optimizer: it is the same on every replica and when training is resumed.

    For deep networks that are hard to start or train; it needs no state. TensorFlow only.

    Args:
        eta: Number >= 0 or schedule, $\eta$: variance of the noise in the first update.
        gamma: Number >= 0 or schedule, $\gamma$: how fast the variance decays.
        seed: Integer >= 0: another one gives other noise.

    Example:
        >>> import keras_gdx
        >>> noise = keras_gdx.modifiers.GradientNoise(0.01, seed=1)
        >>> optimizer = keras_gdx.optimizers.SGD(0.1, before=[noise])

    Source: arXiv:1511.06807, Neelakantan et al. 2015
    Verified against: NumPy
    """

    sides = ("before",)
    elementwise = False

    def __init__(self, eta: NonNegative = 0.3, gamma: NonNegative = 0.55, seed: NonNegativeInt = 0):
        needs_tensorflow("GradientNoise")
        self.eta = eta
        self.gamma = gamma
        self.seed = seed

    def __call__(self, h, x, g, w):
        noise = ops.cast(backend.normal(x.shape, self.seed, h.t, h.index), x.dtype)
        return x + ops.sqrt(h.eta / h.t**h.gamma) * noise
