"""Polynomial decay."""

from keras import ops

from keras_gdx.arguments import NonNegativeFloat, PositiveFloat, PositiveSteps
from keras_gdx.registry import register
from keras_gdx.schedules.base import Schedule
from keras_gdx.schedules.math import blend, remaining, remaining_of_multiple

__all__ = ["Polynomial"]


@register
class Polynomial(Schedule):
    r"""Polynomial decay to the last value, with an optional exponent on time.

    Powers above 1 spend more of the run at small values. `k` above 1 stays high for longer and
    falls faster at the end, with the same first and last value.

    $$\eta_t = \eta_D + (\eta_0 - \eta_D) \left(1 - \left(\tfrac{t}{D}\right)^k\right)^p$$

    With `cycle`, when the last value is reached, $D$ becomes the next multiple of `decay_steps`:
    the schedule restarts from a higher value and decays again, each time more slowly and from a
    lower value.

    Args:
        initial_learning_rate: Number >= 0, $\eta_0$: the value of update 0.
        decay_steps: Integer >= 1, $D$: updates until the last value.
        end_learning_rate: Number >= 0, $\eta_D$: the value from update $D$ on.
        power: Number > 0, $p$.
        k: Number > 0: exponent of $t / D$; 1 gives the plain polynomial.
        cycle: Whether to restart after update $D$, as described above.

    Raises:
        ValueError: If a rate is negative, `decay_steps` is not an integer >= 1,
            `power` or `k` is not above 0, or `cycle` is neither true nor false.

    Example:
        >>> from keras_gdx.schedules import Polynomial
        >>> schedule = Polynomial(1.0, decay_steps=4, power=2.0)
        >>> print(schedule.sample(6).round(4))
        [1.     0.5625 0.25   0.0625 0.     0.    ]

    Source: arXiv:1506.04579, Liu 2015; `k`: arXiv:2004.05909, Zhang 2020

    Verified against: optax, torch PolynomialLR, timm for `k`, Keras PolynomialDecay for `cycle`
    """

    def __init__(
        self,
        initial_learning_rate: NonNegativeFloat,
        decay_steps: PositiveSteps,
        end_learning_rate: NonNegativeFloat = 0.0,
        power: PositiveFloat = 1.0,
        k: PositiveFloat = 1.0,
        *,
        cycle: bool = False,
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.k = k
        self.cycle = cycle

    def __call__(self, t):
        left = (remaining_of_multiple if self.cycle else remaining)(t, self.decay_steps)
        share = -ops.expm1(self.k * ops.log1p(-left))  # 1 - (1 - left)**k, without cancellation
        return blend(self.initial_learning_rate, self.end_learning_rate, share**self.power)
