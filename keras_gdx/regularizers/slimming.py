"""Network slimming."""

import keras
from keras import ops

from keras_gdx.arguments import NonNegativeFloat
from keras_gdx.registry import register
from keras_gdx.regularizers.base import Penalty
from keras_gdx.regularizers.math import wide

__all__ = ["Slimming"]


@register
class Slimming(Penalty):
    r"""Drives the scales of batch normalization to zero, and with them complete channels.

    $$R(\gamma) = \lambda \sum_c |\gamma_c|$$

    `apply(model, Slimming(1e-4))` attaches it to the `gamma` of every `BatchNormalization`,
    unless `include` selects other variables.

    Args:
        factor: Number >= 0, the strength $\lambda$.

    Raises:
        ValueError: If `factor` is negative.

    Example:
        >>> import keras
        >>> from keras_gdx import regularizers
        >>> layers = [keras.Input((4,)), keras.layers.BatchNormalization(name="norm")]
        >>> model = keras.Sequential([*layers, keras.layers.Dense(1)], name="model")
        >>> regularizer = regularizers.Slimming(0.5)
        >>> regularizers.apply(model, regularizer)
        ['model/norm/gamma']
        >>> print(float(sum(model.losses)))
        2.0

    Source: arXiv:1708.06519, Liu 2017

    Verified against: closed form in NumPy
    """

    def __init__(self, factor: NonNegativeFloat = 1e-4):
        super().__init__(factor)

    def __call__(self, w):
        return self.factor * ops.sum(ops.abs(wide(w)))

    @staticmethod
    def chooses(layer, variable):
        """Whether `apply` without `include` attaches it to this variable of this layer."""
        return isinstance(layer, keras.layers.BatchNormalization) and variable.name == "gamma"
