"""Sharpness-aware minimization."""

import keras

from keras_gdx.arguments import NonNegativeFloat
from keras_gdx.formulas import with_readable_help
from keras_gdx.sharpness.ascent import Ascent
from keras_gdx.sharpness.extension import extended

__all__ = ["SAM"]


@with_readable_help
def SAM(
    model: keras.Model,
    rho: NonNegativeFloat = 0.05,
    adaptive: bool = False,
    per_replica: bool = False,
) -> keras.Model:
    r"""Trains a model by its gradients at the worst weights nearby, so that it ends in flat minima.

    $$\epsilon = \rho\, \frac{s^2 g(w)}{\lVert s\, g(w) \rVert}, \qquad
    w \leftarrow \operatorname{optimizer}\bigl(w,\ g(w + \epsilon)\bigr), \qquad
    s = \begin{cases} 1 \\ |w| + 0.01 & \text{adaptive} \end{cases}$$

    Every train step is run twice on its batch, once at the weights and once at the moved ones,
    and the optimizer receives the second gradient. The norm is over all trained weights. `compile`
    and `fit` are used as before, with any optimizer and any model. The model is extended in place,
    before or after `compile`, and a compiled model is saved with the extension, which takes effect
    again if `keras_gdx` is imported where the file is loaded.

    The first run is the one that counts: logs, metrics and batch statistics are of the weights
    themselves, and each is updated once. The weights are restored bit for bit. In the second run
    random layers draw the same numbers, so both gradients are of the same function. Only what Keras
    does not track as part of the model, such as a `tf.Variable`, is changed twice.

    With `gradient_accumulation_steps`, each micro-batch has its own $\epsilon$. That is the step of
    one large batch only if all micro-batches are alike; the paper calls it m-sharpness, and finds
    that it generalizes better. `per_replica` does the same with replicas.

    Loss scaling cancels out of $\epsilon$. If the first gradient is not finite, neither is the
    second, and the optimizer handles that as usual. Weights of 16 bits may be too coarse to be
    moved by a small $\epsilon$.

    A custom `train_step` must call `apply` or `apply_gradients` once, of one optimizer; anything
    that it does afterwards sees the weights before the update.

    Args:
        model: Keras model. Calling `SAM` again replaces the settings.
        rho: Number >= 0, $\rho$: the distance to the moved weights. The papers use 0.05 to 0.2, and
            with `adaptive` 0.5 to 1. 0 switches the extension off.
        adaptive: Whether larger weights are moved farther, so that the result does not depend on
            the scale of the weights (ASAM). Biases are scaled as well, by `|w| + 0.01`.
        per_replica: Whether each replica moves its weights by its own gradient. Otherwise all
            move by the gradient of the complete batch, as one device would.

    Returns:
        The model.

    Raises:
        ValueError: If an argument is invalid or Keras does not run on TensorFlow; in the first
            step, if `train_step` applies gradients several times, or never.

    Cost: two forward and backward passes per step; with several replicas a second reduction, but
        for `per_replica`.

    Memory: 8 bytes per parameter during the step (weights, first gradient), none between steps.
        Of an embedding with sparse gradients, only the rows in the batch.

    Source: arXiv:2010.01412, Foret et al. 2021; `adaptive`: arXiv:2102.11600, Kwon et al. 2021
    Verified against: NumPy

    Example:
        >>> import keras, keras_gdx, numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model = keras_gdx.SAM(model, rho=0.1)
        >>> model.compile(keras_gdx.optimizers.AdamW(1e-3), "mse")
        >>> history = model.fit(np.ones((8, 2)), np.ones((8, 1)), verbose=0)
    """
    return extended("SAM", model, Ascent(rho, adaptive, per_replica))
