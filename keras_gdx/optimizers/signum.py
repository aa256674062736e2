"""Signum: the sign of the momentum."""

from typing import Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate
from keras_gdx.math import ema
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["Signum"]


@register
class Signum(Optimizer):
    r"""The sign of the momentum: every weight changes by exactly the learning rate.

    $$m \leftarrow \mu m + (1-\mu) g, \qquad u = \operatorname{sign}(m)$$

    `momentum=0` is signSGD, without state. Robust to gradients of very different sizes and to
    outliers; Lion, with the same memory, is usually better.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        momentum: Number in [0, 1) or schedule, $\mu$.
        **kwargs: The options of `Optimizer`.

    Memory: 4 bytes per parameter (`momentum`); none with `momentum=0`.

    Example:
        >>> import keras, keras_gdx
        >>> w = keras.Variable([1.0, 2.0])
        >>> keras_gdx.optimizers.Signum(0.5).apply([[0.1, -30.0]], [w])
        >>> w.numpy()
        array([0.5, 2.5], dtype=float32)

    Source: arXiv:1802.04434, Bernstein et al. 2018
    Verified against: optax 0.2.8 signum and sign_sgd, NumPy
    """

    slots = (Slot("momentum", when="momentum"),)

    def __init__(
        self,
        learning_rate: LearningRate = 1e-4,
        *,
        momentum: DecayRate = 0.9,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.momentum = momentum

    def direction(self, h, g, w, m):
        m = ema(m, g, h.momentum)
        return ops.sign(m), m
