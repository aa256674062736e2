"""Lion: evolved sign momentum."""

from typing import Unpack

from keras import ops

from keras_gdx.arguments import DecayRate, LearningRate
from keras_gdx.math import ema
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["Lion"]


@register
class Lion(Optimizer):
    r"""Evolved sign momentum: every weight changes by exactly the learning rate.

    $$u = \operatorname{sign}(\beta_1 m + (1-\beta_1) g), \qquad
      m \leftarrow \beta_2 m + (1-\beta_2) g$$

    Use a learning rate 3 to 10 times smaller than for AdamW, and a weight decay larger by the
    same factor.

    It suits large batches; in small ones the signs are mostly noise.

    Args:
        learning_rate: See `Optimizer`, as for all options not named here.
        beta_1: Number in [0, 1) or schedule: weight of the momentum in the direction.
        beta_2: Number in [0, 1) or schedule: decay rate of the momentum.
        **kwargs: The options of `Optimizer`.

    Memory: 4 bytes per parameter (`momentum`).

    Example:
        >>> import keras, keras_gdx
        >>> w = keras.Variable([1.0, 2.0])
        >>> keras_gdx.optimizers.Lion(0.5).apply([[0.1, -30.0]], [w])
        >>> w.numpy()
        array([0.5, 2.5], dtype=float32)

    Source: arXiv:2302.06675, Chen et al. 2023
    Verified against: optax 0.2.8 lion, NumPy
    """

    slots = (Slot("momentum", decays="beta_2"),)

    def __init__(
        self,
        learning_rate: LearningRate = 1e-4,
        *,
        beta_1: DecayRate = 0.9,
        beta_2: DecayRate = 0.99,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2

    def direction(self, h, g, w, m):
        return ops.sign(ema(m, g, h.beta_1)), ema(m, g, h.beta_2)
