"""Cyclical learning rates."""

from collections.abc import Callable
from typing import Literal

from keras import ops

from keras_gdx.arguments import NonNegativeFloat, PositiveFloat, PositiveSteps, Tensor
from keras_gdx.registry import register
from keras_gdx.schedules.base import Schedule
from keras_gdx.schedules.math import blend, turns

__all__ = ["Cyclical"]

Shape = Literal["triangular", "triangular2", "exp_range"]

# Functions from the cycle (from 0) and the update to the factor of the amplitude.
SHAPES: dict[Shape, Callable[..., Tensor]] = {
    "triangular": lambda cycle, t, gamma: 1.0,
    "triangular2": lambda cycle, t, gamma: ops.power(0.5, cycle),
    "exp_range": lambda cycle, t, gamma: ops.power(gamma, ops.cast(t, "float32")),
}


@register
class Cyclical(Schedule):
    r"""Cycles linearly between a low and a high value, without end.

    $$\eta_t = \eta_0 + (\eta_1 - \eta_0) \, a \left(1 - \left\lvert \tfrac{t - 2Si}{S} - 1
      \right\rvert\right), \qquad i = \lfloor \tfrac{t}{2S} \rfloor$$

    with $a = 1$ (`"triangular"`), $2^{-i}$ (`"triangular2"`) or $\gamma^t$ (`"exp_range"`), or
    with a custom function, $a = f(i + 1)$ or $a = f(t)$.

    Args:
        initial_learning_rate: Number >= 0, $\eta_0$: the low value.
        max_learning_rate: Number >= 0, $\eta_1$: the high value.
        step_size: Integer >= 1, $S$: updates from the low to the high value (half a cycle).
        shape: `"triangular"`, `"triangular2"` or `"exp_range"`.
        gamma: Number > 0, $\gamma$ for `"exp_range"`.
        scale_fn: Function $f$ of a float32 tensor, used instead of `shape`, or `None`. Register
            it with `keras.saving.register_keras_serializable` to save the model: a `lambda` is
            loaded only with `safe_mode=False`.
        scale_mode: Argument of $f$: `"cycle"`, the number of the cycle from 1, or
            `"iterations"`, the update from 0.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> from keras_gdx.schedules import Cyclical
        >>> schedule = Cyclical(0.0, 1.0, step_size=2, shape="triangular2")
        >>> print(schedule.sample(8))
        [0.   0.5  1.   0.5  0.   0.25 0.5  0.25]

    Source: arXiv:1506.01186, Smith 2015

    Verified against: torch CyclicLR; TensorFlow Addons CyclicalLearningRate in NumPy
    """

    rises = True

    def __init__(
        self,
        initial_learning_rate: NonNegativeFloat,
        max_learning_rate: NonNegativeFloat,
        step_size: PositiveSteps,
        shape: Shape = "triangular",
        gamma: PositiveFloat = 1.0,
        scale_fn: Callable[[Tensor], Tensor] | None = None,
        scale_mode: Literal["cycle", "iterations"] = "cycle",
    ):
        self.initial_learning_rate = initial_learning_rate
        self.max_learning_rate = max_learning_rate
        self.step_size = step_size
        self.shape = shape
        self.gamma = gamma
        self.scale_fn = scale_fn
        self.scale_mode = scale_mode
        alone = scale_fn is None or shape == "triangular"
        self._check(alone, "shape", shape, "omitted if `scale_fn` is given")

    def __call__(self, t):
        cycle, share = turns(t, 2 * self.step_size)
        height = (1.0 - ops.abs(2.0 * share - 1.0)) * self._amplitude(cycle, t)
        return blend(self.max_learning_rate, self.initial_learning_rate, height)

    def _amplitude(self, cycle, t):
        if self.scale_fn is None:
            return SHAPES[self.shape](cycle, t, self.gamma)
        return self.scale_fn(cycle + 1 if self.scale_mode == "cycle" else ops.cast(t, "float32"))
