"""`prepare`: makes `fit`, `evaluate` and `predict` correct on several replicas."""

import keras

from keras_gdx.arguments import check

__all__ = ["prepare"]


def prepare(model: keras.Model) -> keras.Model:
    """Makes `compile`, `fit`, `evaluate` and `predict` of a model correct on several replicas.

    The trained weights are then, up to rounding, those of one device that processes the complete
    global batch. Without `prepare`, Keras

    - weights all replicas equally, which is wrong for uneven last batches, masks and
      `mean_with_sample_weight`;
    - multiplies gradients by the number of replicas, for losses that return a scalar and for
      a custom `compute_loss`;
    - draws the same dropout masks on all replicas;
    - saves the batch statistics of the first replica only;
    - cannot use `steps_per_execution`, or several workers.

    Only this model is changed, and the change is not saved with it. On a single replica it does
    nothing. Keras' own optimizers keep their update rule, but reduce gradients before clipping,
    and their accumulation and EMA work on replicas.

    Args:
        model: Keras model created inside `strategy.scope()`, compiled or not.

    Returns:
        The model.

    Raises:
        ValueError: If `model` is not a Keras model, or Keras 3 cannot train with its strategy.

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
    from keras_gdx.integration.model_attributes import replicas_of

    if replicas_of(model) is None:
        Replicas(model).install()
    return model
