"""Linear warmup before any schedule."""

from keras import ops

from keras_gdx.arguments import Number, Steps
from keras_gdx.registry import register
from keras_gdx.schedules.base import Schedule, evaluate
from keras_gdx.schedules.math import blend, progress

__all__ = ["Warmup"]


@register
class Warmup(Schedule):
    r"""Linear warmup, then another schedule.

    The schedule starts at the end of warmup, so its length should be that of the run minus
    `warmup_steps`.

    $$\eta_t = \begin{cases} v + (s_0 - v) \, t / W & t < W \\ s_{t - W} & t \ge W \end{cases}$$

    Args:
        schedule: Schedule $s$ (also one of Keras' own) or a number.
        warmup_steps: Integer >= 0, $W$: updates until the schedule begins.
        initial: Number, $v$: the value of update 0.

    Raises:
        ValueError: If `schedule` is neither schedule nor number, `warmup_steps` is not an
            integer >= 0, or `initial` is not a finite number.

    Example:
        >>> from keras_gdx.schedules import Linear, Warmup
        >>> schedule = Warmup(Linear(1.0, decay_steps=4), warmup_steps=2)
        >>> print(schedule.sample(8))
        [0.   0.5  1.   0.75 0.5  0.25 0.   0.  ]

    Source: arXiv:1706.02677, Goyal 2017

    Verified against: optax, torch SequentialLR, transformers
    """

    def __init__(self, schedule: Number, warmup_steps: Steps, initial: float = 0.0):
        self.schedule = schedule
        self.warmup_steps = warmup_steps
        self.initial = initial

    def __call__(self, t):
        value = evaluate(self.schedule, ops.maximum(t - self.warmup_steps, 0))
        return blend(value, self.initial, progress(t, self.warmup_steps))
