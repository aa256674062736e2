"""Adam with decoupled weight decay."""

from typing import Unpack

from keras_gdx.arguments import DecayRate, LearningRate, NonNegative
from keras_gdx.optimizers.adam import Adam
from keras_gdx.optimizers.options import OptionsExceptDecay
from keras_gdx.registry import register

__all__ = ["AdamW"]


@register
class AdamW(Adam):
    r"""Adam with decoupled weight decay.

    $$w \leftarrow w - \eta\, (u + \lambda w)$$

    with the direction $u$ of `Adam`; $w$ on the right are the weights before the step.

    The first choice for transformers, and for fine-tuning; tune its learning rate before you try
    another rule. Use `Muon` if most weights are in matrices, `Adafactor` if memory is short.

    Args:
        learning_rate: $\eta$; see `Optimizer`, as for all options not named here.
        beta_1: Number in [0, 1) or schedule: decay rate of the momentum. 0: no momentum.
        beta_2: Number in [0, 1) or schedule: decay rate of the second moment.
        epsilon: Number >= 0 or schedule, added outside the root (Keras' default is 1e-7).
        amsgrad: If true, the denominator never decreases (arXiv:1904.09237).
        weight_decay: Number >= 0 or schedule, $\lambda$. (0.01 as in torch; Keras: 0.004.)
        **kwargs: The options of `Optimizer`.

    Memory: 8 bytes per parameter (`momentum`, `velocity`).

    Example:
        >>> import keras_gdx
        >>> optimizer = keras_gdx.optimizers.AdamW(1e-3, weight_decay=0.1, no_decay="auto")

    Source: arXiv:1711.05101, Loshchilov and Hutter 2019
    Verified against: optax 0.2.8 adamw, NumPy
    """

    def __init__(
        self,
        learning_rate: LearningRate = 1e-3,
        *,
        beta_1: DecayRate = 0.9,
        beta_2: DecayRate = 0.999,
        epsilon: NonNegative = 1e-8,
        amsgrad: bool = False,
        weight_decay: NonNegative | None = 0.01,
        **kwargs: Unpack[OptionsExceptDecay],
    ):
        super().__init__(
            learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            amsgrad=amsgrad,
            weight_decay=weight_decay,
            **kwargs,
        )
