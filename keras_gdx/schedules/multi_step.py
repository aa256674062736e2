"""Step decay at given updates."""

from collections.abc import Sequence

from keras import ops

from keras_gdx.arguments import NonNegativeFloat, PositiveFloat, Steps, check_type
from keras_gdx.registry import register
from keras_gdx.schedules.base import Schedule

__all__ = ["MultiStep"]


@register
class MultiStep(Schedule):
    r"""Step decay: multiplied by `gamma` at each of the given updates.

    $$\eta_t = \eta_0 \, \gamma^{\lvert \{i : m_i \le t\} \rvert}$$

    Args:
        initial_learning_rate: Number >= 0, $\eta_0$: the value of update 0.
        milestones: Non-empty list of integers $m_i \ge 0$: updates, in any order. Repeated
            values count repeatedly.
        gamma: Number > 0, $\gamma$: the factor.

    Raises:
        ValueError: If the rate is negative, a milestone is not an integer >= 0, or `gamma` is
            not above 0.

    Example:
        >>> from keras_gdx.schedules import MultiStep
        >>> schedule = MultiStep(1.0, milestones=[2, 5], gamma=0.5)
        >>> print(schedule.sample(7))
        [1.   1.   0.5  0.5  0.5  0.25 0.25]

    Source: by definition

    Verified against: torch MultiStepLR
    """

    def __init__(
        self,
        initial_learning_rate: NonNegativeFloat,
        milestones: Sequence[Steps],
        gamma: PositiveFloat,
    ):
        valid = isinstance(milestones, (list, tuple)) and len(milestones) > 0
        self._check(valid, "milestones", milestones, "a non-empty list of integers")
        for i, milestone in enumerate(milestones):
            check_type(f"milestones[{i}]", milestone, Steps, of=self)
        self.initial_learning_rate = initial_learning_rate
        self.milestones = list(milestones)
        self.gamma = gamma

    def __call__(self, t):
        t = ops.convert_to_tensor(t)
        passed = sum(ops.cast(t >= milestone, "float32") for milestone in self.milestones)
        return self.initial_learning_rate * ops.power(self.gamma, passed)
