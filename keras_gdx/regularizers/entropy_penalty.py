"""Confidence penalty."""

import keras
from keras import ops

from keras_gdx.arguments import NonNegativeFloat
from keras_gdx.config import Configured
from keras_gdx.registry import register
from keras_gdx.regularizers.math import TINY, wide

__all__ = ["EntropyPenalty"]


@register
class EntropyPenalty(Configured, keras.regularizers.Regularizer):
    r"""Penalizes confident predictions: an `activity_regularizer` of the output layer.

    $$R(p) = - \lambda \sum_n H(p_n) = \lambda \sum_n \sum_k p_{nk} \log p_{nk}$$

    over the examples of a batch; Keras divides it by the batch size. The value is negative.

    Args:
        factor: Number >= 0, the strength $\lambda$.
        from_logits: If true, $p$ is the softmax of the outputs.

    Raises:
        ValueError: If `factor` is negative.

    Example:
        >>> from keras_gdx.regularizers import EntropyPenalty
        >>> regularizer = EntropyPenalty(1.0)
        >>> print(round(float(regularizer([[0.5, 0.5], [0.0, 1.0]])), 4))
        -0.6931

    Source: arXiv:1701.06548, Pereyra 2017

    Verified against: closed form in NumPy
    """

    def __init__(self, factor: NonNegativeFloat = 0.1, from_logits: bool = False):
        self.factor = factor
        self.from_logits = from_logits

    def __call__(self, outputs):
        outputs = wide(outputs)
        if self.from_logits:
            logs = ops.log_softmax(outputs, axis=-1)
            return self.factor * ops.sum(ops.exp(logs) * logs)
        return self.factor * ops.sum(outputs * ops.log(ops.maximum(outputs, TINY)))
