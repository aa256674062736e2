"""NAdam with decoupled weight decay."""

from keras_gdx.optimizers.adamw import AdamW
from keras_gdx.optimizers.nadam import NAdam
from keras_gdx.registry import register

__all__ = ["NAdamW"]


@register
class NAdamW(NAdam, AdamW):
    r"""NAdam with decoupled weight decay.

    $$w \leftarrow w - \eta\, (u + \lambda w)$$

    with the direction $u$ of `NAdam`; $w$ on the right are the weights before the step.

    In place of `AdamW`, with the same arguments, where the momentum is large.

    Args:
        learning_rate: $\eta$; see `Optimizer`, as for all options not named here.
        beta_1: Number in [0, 1) or schedule: decay rate of the momentum. 0: no momentum.
        beta_2: Number in [0, 1) or schedule: decay rate of the second moment.
        epsilon: Number >= 0 or schedule, added outside the root (Keras' default is 1e-7).
        amsgrad: If true, the denominator never decreases; see `Adam`.
        weight_decay: Number >= 0 or schedule, $\lambda$. (optax: 0.0001.)
        **kwargs: The options of `Optimizer`.

    Memory: 8 bytes per parameter (`momentum`, `velocity`); 12 with `amsgrad`.

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.NAdamW(1e-3, weight_decay=0.1, no_decay="auto")

    Source: Dozat 2016, ICLR workshop; arXiv:1711.05101, Loshchilov and Hutter 2019
    Verified against: optax 0.2.8 nadamw, NumPy
    """
