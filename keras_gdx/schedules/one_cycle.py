"""One-cycle policy for the learning rate and momentum."""

from collections.abc import Callable
from typing import Annotated, Literal

from annotated_types import Interval
from keras import ops

from keras_gdx.arguments import (
    MOST_STEPS,
    FractionFloat,
    NonNegativeFloat,
    PositiveFloat,
    Tensor,
)
from keras_gdx.registry import register
from keras_gdx.schedules.base import Schedule
from keras_gdx.schedules.math import blend, half_wave

__all__ = ["OneCycle", "OneCycleMomentum"]

Anneal = Literal["cos", "linear"]
ANNEALS: dict[Anneal, Callable[[Tensor], Tensor]] = {
    "cos": half_wave,
    "linear": lambda left: left,
}
Length = Annotated[int, Interval(ge=2, le=MOST_STEPS)]
Momentum = Annotated[float, Interval(ge=0, lt=1)]


class Cycle(Schedule):
    """Base class: interpolates between given values over the phases of one cycle."""

    rises = True

    def __init__(
        self, total_steps: Length, pct_start: FractionFloat, anneal: Anneal, three_phase: bool
    ):
        self.total_steps = total_steps
        self.pct_start = pct_start
        self.anneal = anneal
        self.three_phase = three_phase
        ends = self._ends()
        rising = all(a < b for a, b in zip((0, *ends), ends, strict=False))
        allowed = f"such that all phases have updates: here they end at {ends} of {total_steps}"
        self._check(rising, "pct_start", pct_start, allowed)

    def _ends(self):
        """The last update of each phase."""
        top = self.pct_start * self.total_steps - 1
        return (top, *([2 * top] if self.three_phase else []), self.total_steps - 1)

    def _walk(self, t, values):
        """Interpolates from each of `values` to the next, one phase each."""
        t = ops.convert_to_tensor(t)
        found, begin = values[0], 0.0
        for end, start, stop in zip(self._ends(), values[:-1], values[1:], strict=True):
            # The last end is an integer: subtracting before the cast keeps full precision.
            to_go = ops.cast(int(end) - t, "float32") + (end - int(end))
            left = ops.clip(to_go / (end - begin), 0.0, 1.0)
            here = blend(start, stop, ANNEALS[self.anneal](left))
            found = ops.where(ops.cast(t, "float32") > begin, here, found) if begin else here
            begin = end
        return ops.cast(found, "float32")


@register
class OneCycle(Cycle):
    r"""Up from $\eta / d$ to $\eta$, and down to $\eta / (d f)$ (super-convergence).

    The phases end at updates $pT - 1$ and $T - 1$. With `three_phase`, it falls to $\eta / d$
    symmetrically to the rise, until $2pT - 2$, then to the last value. Interpolation is cosine
    or linear.

    Args:
        max_learning_rate: Number >= 0, $\eta$: the peak value.
        total_steps: Integer >= 2, $T$: updates in the cycle.
        div: Number > 0, $d$: peak value divided by initial value.
        final_div: Number > 0, $f$: initial value divided by last value.
        pct_start: Number in [0, 1], $p$: fraction of the cycle in which it rises.
        anneal: `"cos"` or `"linear"`.
        three_phase: If true, uses the three phases described above.

    Raises:
        ValueError: If an argument is outside its range, or a phase would have no update.

    Example:
        >>> from keras_gdx.schedules import OneCycle
        >>> schedule = OneCycle(1.0, total_steps=10, anneal="linear", final_div=10.0)
        >>> print(schedule.sample(10).round(3))
        [0.04  0.52  1.    0.858 0.715 0.573 0.431 0.289 0.146 0.004]

    Source: arXiv:1708.07120, Smith and Topin 2017

    Verified against: torch OneCycleLR
    """

    def __init__(
        self,
        max_learning_rate: NonNegativeFloat,
        total_steps: Length,
        div: PositiveFloat = 25.0,
        final_div: PositiveFloat = 1e4,
        pct_start: FractionFloat = 0.3,
        anneal: Anneal = "cos",
        three_phase: bool = False,
    ):
        super().__init__(total_steps, pct_start, anneal, three_phase)
        self.max_learning_rate = max_learning_rate
        self.div = div
        self.final_div = final_div

    def __call__(self, t):
        top, low = self.max_learning_rate, self.max_learning_rate / self.div
        last = low / self.final_div
        return self._walk(t, (low, top, low, last) if self.three_phase else (low, top, last))


@register
class OneCycleMomentum(Cycle):
    r"""Momentum to go with `OneCycle`: low where the learning rate is high.

    It goes from `max_momentum` to `base_momentum` and back, in the same phases as `OneCycle`.
    Use them together, as in `SGD(OneCycle(0.5, n), momentum=OneCycleMomentum(n))`. For weight
    decay, use `OneCycle(decay, n, ...)`.

    Args:
        total_steps: Integer >= 2, $T$: updates in the cycle.
        base_momentum: Number in [0, 1): the value at the peak of the learning rate.
        max_momentum: Number in [0, 1): the value at both ends.
        pct_start: See `OneCycle`.
        anneal: See `OneCycle`.
        three_phase: See `OneCycle`.

    Raises:
        ValueError: If an argument is outside its range, or a phase would have no update.

    Example:
        >>> from keras_gdx.schedules import OneCycleMomentum
        >>> schedule = OneCycleMomentum(total_steps=10, anneal="linear")
        >>> print(schedule.sample(10).round(3))
        [0.95  0.9   0.85  0.864 0.879 0.893 0.907 0.921 0.936 0.95 ]

    Source: arXiv:1708.07120, Smith and Topin 2017

    Verified against: torch OneCycleLR
    """

    def __init__(
        self,
        total_steps: Length,
        base_momentum: Momentum = 0.85,
        max_momentum: Momentum = 0.95,
        pct_start: FractionFloat = 0.3,
        anneal: Anneal = "cos",
        three_phase: bool = False,
    ):
        super().__init__(total_steps, pct_start, anneal, three_phase)
        self.base_momentum = base_momentum
        self.max_momentum = max_momentum

    def __call__(self, t):
        high, low = self.max_momentum, self.base_momentum
        return self._walk(t, (high, low, high, high) if self.three_phase else (high, low, high))
