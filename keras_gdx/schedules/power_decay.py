"""Power-law decay."""

from keras import ops

from keras_gdx.arguments import NonNegativeFloat
from keras_gdx.registry import register
from keras_gdx.schedules.base import Schedule

__all__ = ["PowerDecay"]


@register
class PowerDecay(Schedule):
    r"""Power-law decay without end.

    Use it if the length of the run is not known in advance. With $\tfrac12 < \gamma \le 1$ it
    satisfies the Robbins-Monro conditions for convergence of stochastic gradient descent (the
    sum of the rates is infinite, the sum of their squares is finite).

    $$\eta_t = \eta_0 \, (1 + \beta t)^{-\gamma}$$

    Args:
        initial_learning_rate: Number >= 0, $\eta_0$: the value of update 0.
        beta: Number >= 0, $\beta$ per update: decay sets in after about $1 / \beta$ updates.
        gamma: Number >= 0, $\gamma$: exponent of the decay; 1 is inverse time decay, 0.5
            inverse square-root decay.

    Raises:
        ValueError: If an argument is negative or not a number.

    Example:
        >>> from keras_gdx.schedules import PowerDecay
        >>> schedule = PowerDecay(1.0, beta=1.0, gamma=1.0)
        >>> print(schedule.sample(4))
        [1.         0.5        0.33333334 0.25      ]

    Source: arXiv:1107.2490, Xu 2011; conditions on gamma: Robbins and Monro 1951

    Verified against: torch ASGD
    """

    def __init__(
        self,
        initial_learning_rate: NonNegativeFloat,
        beta: NonNegativeFloat,
        gamma: NonNegativeFloat,
    ):
        self.initial_learning_rate = initial_learning_rate
        self.beta = beta
        self.gamma = gamma

    def __call__(self, t):
        base = 1.0 + self.beta * ops.cast(t, "float32")
        return self.initial_learning_rate * base**-self.gamma
