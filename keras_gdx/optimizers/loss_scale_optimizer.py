"""Loss scaling that asks every replica."""

import keras

from keras_gdx.engine import backend
from keras_gdx.registry import get

__all__ = ["LossScaleOptimizer"]


@keras.saving.register_keras_serializable("keras_gdx")
class LossScaleOptimizer(keras.optimizers.LossScaleOptimizer):
    """Keras' dynamic loss scaling, with all replicas asked whether gradients are finite.

    Keras asks only the first: an infinity on the second reaches the weights. `compile`
    puts this one in the place of Keras' around our optimizers, so it is seldom needed by
    hand.

    Args:
        inner_optimizer: Any Keras optimizer, ours or not, or the name of one.
        **kwargs: See `keras.optimizers.LossScaleOptimizer`.

    Example:
        >>> import keras_gdx
        >>> inner = keras_gdx.optimizers.AdamW(1e-3)
        >>> optimizer = keras_gdx.optimizers.LossScaleOptimizer(inner, initial_scale=1024.0)

    Source: arXiv:1710.03740, Micikevicius et al. 2018
    Verified against: the same step without scaling
    """

    def __init__(self, inner_optimizer, **kwargs):
        super().__init__(get(inner_optimizer, "inner_optimizer"), **kwargs)

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """See `Optimizer.exclude_from_weight_decay`, of the inner optimizer."""
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def check_finite(self, grads):
        """Whether all gradients of all replicas are finite."""
        present = [backend.values(g) for g in grads if g is not None]
        return backend.same_everywhere(super().check_finite(present))
