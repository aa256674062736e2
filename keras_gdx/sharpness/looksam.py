"""LookSAM: sharpness-aware minimization with a second gradient in every k-th step."""

import keras

from keras_gdx.arguments import NonNegativeFloat, PositiveSteps
from keras_gdx.formulas import with_readable_help
from keras_gdx.sharpness.ascent import PeriodicAscent
from keras_gdx.sharpness.extension import extended

__all__ = ["LookSAM"]


@with_readable_help
def LookSAM(
    model: keras.Model,
    rho: NonNegativeFloat = 0.05,
    k: PositiveSteps = 5,
    alpha: NonNegativeFloat = 0.7,
    adaptive: bool = False,
) -> keras.Model:
    r"""SAM that takes its second gradient only every k-th step, and reuses a part of it in between.

    $$g = g(w), \qquad g_s = g\Bigl(w + \rho \frac{g}{\lVert g \rVert}\Bigr), \qquad
    g_v = g_s - \frac{g_s \cdot g}{\lVert g \rVert^2}\, g \qquad \text{every } k \text{ steps}$$
    $$w \leftarrow \operatorname{optimizer}(w, u), \qquad
    u = \begin{cases} g_s & \text{every } k \text{ steps} \\
    g + \alpha \frac{\lVert g \rVert}{\lVert g_v \rVert}\, g_v & \text{otherwise} \end{cases}$$

    The part of SAM's gradient that is orthogonal to the usual one leads to flatter minima, and
    changes slowly. It is kept until the next second gradient. Steps in between compute one gradient
    only. With `k=1` this is `SAM`, and what is said there of a step also holds here. Norms are over
    all trained weights.

    Each micro-batch of `gradient_accumulation_steps` counts as a step. A step whose gradients are
    not finite does not count: $g_v$ stays, and if the step should have renewed it, the next one
    does. If both gradients are parallel, $g_v$ is 0. Replicas use the gradient of the complete
    batch, as one device would. Gradients of embeddings are dense, because $g_v$ has all rows.

    `ResumableCheckpoint` and `export` include $g_v$ and the count. Files of the model or of its
    weights do not: after weights are loaded, the first step takes both gradients.

    Args:
        model: Keras model. Calling `LookSAM` or `SAM` again replaces the settings.
        rho: Number >= 0, $\rho$: the distance to the moved weights. 0 switches the extension off.
        k: Integer >= 1: steps from one second gradient to the next.
        alpha: Number >= 0, $\alpha$: the norm of what is added, relative to that of the gradient.
        adaptive: Whether larger weights are moved farther; see `SAM`.

    Returns:
        The model.

    Raises:
        ValueError: If an argument is invalid or Keras does not run on TensorFlow; in the first
            step, if `train_step` applies gradients several times, or never.

    Cost: $1 + 1/k$ forward and backward passes per step; with several replicas a second reduction
        per step, and a third every `k` steps.

    Memory: 4 bytes per parameter ($g_v$, 8 if the weight is float64), and 8 more during a step with
        two gradients.

    Source: arXiv:2203.02714, Liu et al. 2022, algorithm 1
    Verified against: NumPy

    Example:
        >>> import keras, keras_gdx, numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model = keras_gdx.LookSAM(model, rho=0.1, k=4)
        >>> model.compile(keras_gdx.optimizers.AdamW(1e-3), "mse")
        >>> history = model.fit(np.ones((8, 2)), np.ones((8, 1)), verbose=0)
    """
    return extended("LookSAM", model, PeriodicAscent(rho, k, alpha, adaptive))
