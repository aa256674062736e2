"""Linear decay."""

from keras_gdx.arguments import NonNegativeFloat, PositiveSteps
from keras_gdx.registry import register
from keras_gdx.schedules.base import Schedule
from keras_gdx.schedules.math import blend, remaining

__all__ = ["Linear"]


@register
class Linear(Schedule):
    r"""Linear decay to the last value.

    A safe choice if the length of the run is known: linear decay to zero is optimal in the
    theory of last-iterate convergence, and hard to beat in practice.

    $$\eta_t = \eta_0 + (\eta_D - \eta_0) \min\left(\tfrac{t}{D}, 1\right)$$

    Args:
        initial_learning_rate: Number >= 0, $\eta_0$: the value of update 0.
        decay_steps: Integer >= 1, $D$: updates until the last value.
        end_learning_rate: Number >= 0, $\eta_D$: the value from update $D$ on.

    Raises:
        ValueError: If a rate is negative, or `decay_steps` is not an integer >= 1.

    Example:
        >>> from keras_gdx.schedules import Linear
        >>> schedule = Linear(1.0, decay_steps=4)
        >>> print(schedule.sample(6))
        [1.   0.75 0.5  0.25 0.   0.  ]

    Source: arXiv:2310.07831, Defazio 2023

    Verified against: optax, torch LinearLR, transformers
    """

    def __init__(
        self,
        initial_learning_rate: NonNegativeFloat,
        decay_steps: PositiveSteps,
        end_learning_rate: NonNegativeFloat = 0.0,
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.end_learning_rate = end_learning_rate

    def __call__(self, t):
        left = remaining(t, self.decay_steps)
        return blend(self.initial_learning_rate, self.end_learning_rate, left)
