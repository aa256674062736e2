"""One line that makes `fit`, `evaluate` and `predict` right on many replicas."""

import keras

from keras_gdx.config import check

__all__ = ["prepare"]


def prepare(model):
    """Makes `compile`, `fit`, `evaluate` and `predict` of a model right on many replicas.

    Right means: the weights, up to rounding, of one device that sees the whole global
    batch. Without this line Keras weights every replica alike, which is wrong for uneven
    last batches, masks and `mean_with_sample_weight`; takes gradients as many times too
    large as there are replicas for losses that return a scalar and for `compute_loss` of
    one's own; draws the same dropout masks on all; saves the batch statistics of the first
    replica only; and cannot run several steps per execution, or on several workers, at all.

    Only this one model is changed, and nothing is saved with it. On a single replica there
    is nothing to do. Optimizers of Keras are taken over: the same rule, with one reduction
    before clipping, and accumulation and averages that work on replicas.

    Args:
        model: A Keras model made inside `strategy.scope()`, compiled already or not.

    Returns:
        The model.

    Raises:
        ValueError: If it is no model, or the strategy is one that Keras 3 cannot train with.

    Example:
        >>> import keras, keras_gdx, numpy as np
        >>> strategy = keras_gdx.distribute.strategy("auto")
        >>> with strategy.scope():
        ...     model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        ...     model.compile("sgd", "mse")
        >>> model = keras_gdx.distribute.prepare(model)
        >>> history = model.fit(np.ones((8, 1)), np.ones((8, 1)), verbose=0)
    """
    check(isinstance(model, keras.Model), "model", model, "a Keras model")
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1:
        return model
    from keras_gdx.distribute.replicas import Replicas
    from keras_gdx.integration.model_hooks import replicas_of

    if replicas_of(model) is None:
        Replicas(model).install()
    return model
