"""Warmup-stable-decay (trapezoidal) schedule."""

from collections.abc import Callable
from typing import Literal

from keras import ops

from keras_gdx.arguments import FractionFloat, NonNegativeFloat, PositiveSteps, Steps, Tensor
from keras_gdx.registry import register
from keras_gdx.schedules.base import Schedule
from keras_gdx.schedules.math import blend, half_wave, progress, remaining

__all__ = ["WarmupStableDecay"]

Shape = Literal["linear", "1-sqrt", "cosine", "exponential"]

# Functions from the remaining fraction of the decay (1 to 0) to the fraction of the peak (1 to f).
SHAPES: dict[Shape, Callable[[Tensor, float], Tensor]] = {
    "linear": lambda left, f: blend(1.0, f, left),
    "1-sqrt": lambda left, f: blend(1.0, f, left / (1.0 + ops.sqrt(1.0 - left))),
    "cosine": lambda left, f: blend(1.0, f, half_wave(left)),
    "exponential": lambda left, f: ops.power(f, 1.0 - left),
}


@register
class WarmupStableDecay(Schedule):
    r"""Linear warmup, a constant phase, then decay; the run can be extended before the decay.

    The length of the constant phase need not be known in advance: resume from it with a longer
    one, or decay from any of its checkpoints. A decay of 10 to 20 % of the run matches cosine
    decay of the same total length; `"1-sqrt"` is the best shape in the paper.

    $$\eta_t = \eta \cdot \begin{cases} f + (1 - f) \, t / W & t < W \\ 1 & t < W + S \\
      f + (1 - f) \, \phi\left(\tfrac{t - W - S}{D}\right) & t < W + S + D \\ f & \text{after}
      \end{cases}$$

    with $\phi(x) = 1 - x$ (`"linear"`), $1 - \sqrt x$ (`"1-sqrt"`),
    $\tfrac12 (1 + \cos \pi x)$ (`"cosine"`); `"exponential"` decays by $f^x$.

    Args:
        peak_learning_rate: Number >= 0, $\eta$: the value of the constant phase.
        warmup_steps: Integer >= 0, $W$: updates until the peak.
        stable_steps: Integer >= 0, $S$: updates at the peak.
        decay_steps: Integer >= 1, $D$: updates from the peak to the last value.
        shape: Shape of the decay: `"linear"`, `"1-sqrt"`, `"cosine"` or `"exponential"`.
        end_factor: Number in [0, 1], $f$: fraction of the peak at both ends; above 0 for
            `"exponential"`.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> from keras_gdx.schedules import WarmupStableDecay
        >>> schedule = WarmupStableDecay(1.0, warmup_steps=2, stable_steps=2, decay_steps=4)
        >>> print(schedule.sample(10))
        [0.   0.5  1.   1.   1.   0.75 0.5  0.25 0.   0.  ]

    Source: arXiv:2405.18392, Hägele 2024

    Verified against: transformers get_wsd_schedule; optax for `"exponential"`
    """

    def __init__(
        self,
        peak_learning_rate: NonNegativeFloat,
        warmup_steps: Steps,
        stable_steps: Steps,
        decay_steps: PositiveSteps,
        shape: Shape = "linear",
        end_factor: FractionFloat = 0.0,
    ):
        self.peak_learning_rate = peak_learning_rate
        self.warmup_steps = warmup_steps
        self.stable_steps = stable_steps
        self.decay_steps = decay_steps
        self.shape = shape
        self.end_factor = end_factor
        reaches = shape != "exponential" or end_factor > 0
        self._check(reaches, "end_factor", end_factor, "above 0 for shape='exponential'")

    def __call__(self, t):
        up = blend(1.0, self.end_factor, progress(t, self.warmup_steps))
        left = remaining(t - self.warmup_steps - self.stable_steps, self.decay_steps)
        return self.peak_learning_rate * ops.minimum(up, SHAPES[self.shape](left, self.end_factor))
