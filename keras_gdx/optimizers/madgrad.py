"""MADGRAD."""

from typing import Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate, NonNegative
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["MADGRAD"]


@register
class MADGRAD(Optimizer):
    r"""Momentumized, adaptive dual averaging: steps from the start of training, by a cube root.

    With $\lambda = (\eta + \epsilon) \sqrt t$ and $w_0$ the weights before the first update,

    $$s \leftarrow s + \lambda g, \quad n \leftarrow n + \lambda g^2, \quad
      z = w_0 - \frac{s}{\sqrt[3]{n} + \epsilon}, \quad w \leftarrow \mu w + (1-\mu) z$$

    As accurate as SGD on images, with Adam's insensitivity; needs less weight decay than either.
    Epsilon in $\lambda$ is that of the authors' code. Where the learning rate is 0, weights stay.

    Args:
        learning_rate: $\eta$; see `Optimizer`, as for all options not named here.
        momentum: Number in [0, 1) or schedule, $\mu$.
        epsilon: Number >= 0 or schedule, added to the root and to the learning rate.
        **kwargs: The options of `Optimizer`.

    Memory: 12 bytes per parameter (`linear`, `velocity`, `start`).

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.MADGRAD(1e-2)

    Source: arXiv:2101.11075, Defazio and Jelassi 2021
    Verified against: pytorch_optimizer 4.1.0 MADGRAD, NumPy
    """

    slots = (
        Slot("linear", exact=True),
        Slot("velocity", signed=False, exact=True),
        Slot("start", init="variable"),
    )

    def __init__(
        self,
        learning_rate: LearningRate = 1e-2,
        *,
        momentum: DecayRate = 0.9,
        epsilon: NonNegative = 1e-6,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.momentum = momentum
        self.epsilon = epsilon

    def direction(self, h, g, w, s, n, start):
        moves = h.lr > 0
        rate = ops.where(moves, h.lr, 1.0)
        weight = ops.where(moves, (h.lr + h.epsilon) * ops.sqrt(h.t), 0.0)
        s = s + weight * g
        n = n + weight * g * g
        root = n ** (1 / 3) + h.epsilon
        z = start - s / ops.where(root > 0, root, 1.0)
        return (1 - h.momentum) * (w - z) / rate, s, n, start
