"""Stochastic gradient descent."""

from typing import Unpack

from keras_gdx.arguments import DecayRate, LearningRate
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.optimizers.options import Options
from keras_gdx.optimizers.slots import Slot
from keras_gdx.registry import register

__all__ = ["SGD"]


@register
class SGD(Optimizer):
    r"""Gradient descent: plain, with momentum, or with Nesterov momentum.

    $$m \leftarrow \mu m + g, \qquad u = m \quad\text{or, Nesterov's,}\quad u = g + \mu m,
      \qquad w \leftarrow w - \eta u$$

    The momentum does not include the learning rate, so a new rate applies immediately (Keras'
    own SGD includes it).

    With momentum 0.9 it is the first choice for convolutional networks with batch normalization. It
    needs a tuned learning rate; transformers and tables of embeddings train better with Adam.

    Args:
        learning_rate: $\eta$; see `Optimizer`, as for all options not named here.
        momentum: Number in [0, 1) or schedule, $\mu$.
        nesterov: If true, uses Nesterov momentum.
        **kwargs: The options of `Optimizer`.

    Memory: none; 4 bytes per parameter (`momentum`) with momentum.

    Example:
        >>> import keras, keras_gdx
        >>> w = keras.Variable([1.0, 2.0])
        >>> keras_gdx.optimizers.SGD(0.5).apply([[1.0, 1.0]], [w])
        >>> w.numpy()
        array([0.5, 1.5], dtype=float32)

    Source: Robbins and Monro 1951; Polyak 1964; Nesterov 1983
    Verified against: optax 0.2.8 sgd, NumPy
    """

    slots = (Slot("momentum", when="momentum", decays="momentum"),)

    def __init__(
        self,
        learning_rate: LearningRate = 0.01,
        *,
        momentum: DecayRate = 0.0,
        nesterov: bool = False,
        **kwargs: Unpack[Options],
    ):
        super().__init__(learning_rate, **kwargs)
        self.momentum = momentum
        self.nesterov = nesterov

    def direction(self, h, g, w, m):
        m = h.momentum * m + g
        return (g + h.momentum * m if h.nesterov else m), m
