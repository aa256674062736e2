"""The base class of schedules, and their arithmetic."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from keras_gdx.arguments import (
    LearningRateSchedule,
    Number,
    PositiveInt,
    Steps,
    Tensor,
    check_type,
    is_schedule,
    needs_matplotlib,
)
from keras_gdx.config import Configured
from keras_gdx.registry import register

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Clipped", "Product", "Quotient", "Schedule", "Shifted", "Sum"]


class Schedule(Configured, keras.optimizers.schedules.LearningRateSchedule):
    """A hyperparameter as a function of the update index: learning rate, weight decay, momentum.

    Schedules support `+`, `-`, `*` and `/` with numbers and other schedules, Keras' own
    included, and can be clipped and shifted. The result is again a schedule, which a
    model saves and loads.

    A subclass defines two methods. `__init__` stores each argument under its own name.
    `__call__` is a pure function of the update index `t`, which counts optimizer
    updates from 0 and may be an integer, or a scalar or vector tensor of integers or
    floats; it returns float32 of the same shape. Do not branch on `t` in Python, so
    that it compiles with XLA; subtract from `t` before casting, because float32 is
    exact only up to 2**24. After the end, return the last value; if there is none, say so in
    the first line of the docstring, by "without end".

    Example:
        >>> from keras import ops
        >>> from keras_gdx.schedules import Linear, Schedule
        >>> class Alternating(Schedule):
        ...     def __init__(self, value: float):
        ...         self.value = value
        ...
        ...     def __call__(self, t: Tensor) -> Tensor:
        ...         return self.value * ops.cast(t % 2, "float32")
        >>> schedule = 0.5 * Alternating(1.0) + Linear(1.0, decay_steps=4).shift(2)
        >>> print(schedule.sample(8))
        [1.   1.5  1.   1.25 0.5  0.75 0.   0.5 ]
    """

    rises = False  # whether it begins below its maximum, and so needs no warmup
    __array_ufunc__ = None  # `np.float32(0.1) * schedule` is a schedule, not an array

    def __call__(self, t: Tensor) -> Tensor:
        """Returns the value at update `t`.

        Args:
            t: Update index from 0: integer, scalar tensor or vector.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `__call__(t)`.")

    def __add__(self, other: Number) -> Sum:
        return Sum(self, other)

    def __mul__(self, other: Number) -> Product:
        return Product(self, other)

    def __sub__(self, other: Number) -> Sum:
        return Sum(self, Product(other, -1.0))

    def __rsub__(self, other: Number) -> Sum:
        return Sum(-self, other)

    def __truediv__(self, other: Number) -> Quotient:
        return Quotient(self, other)

    def __rtruediv__(self, other: Number) -> Quotient:
        return Quotient(other, self)

    def __neg__(self) -> Product:
        return Product(self, -1.0)

    __radd__ = __add__
    __rmul__ = __mul__

    def clip(self, low: float, high: float) -> Clipped:
        """Returns the schedule with its values clipped to `[low, high]`."""
        return Clipped(self, low, high)

    def shift(self, steps: Steps) -> Shifted:
        """Returns the schedule delayed by `steps` updates, with its first value until then."""
        return Shifted(self, steps)

    def sample(self, n: PositiveInt) -> NDArray[np.float32]:
        """Returns the values of the first `n` updates as a float32 NumPy array."""
        check_type("n", n, PositiveInt)
        return ops.convert_to_numpy(self(np.arange(n)))

    def plot(self, n: PositiveInt) -> Figure:
        """Plots the values of the first `n` updates.

        Returns:
            A `matplotlib.figure.Figure`, which a notebook shows.

        Raises:
            ImportError: If matplotlib is missing; install `keras_gdx[report]`.
        """
        needs_matplotlib("Schedule.plot")
        from keras_gdx.figures import Picture

        figure = Picture(6, 3)
        axes = figure.subplots()
        axes.plot(self.sample(n))
        axes.set(xlabel="update", ylabel="value")
        axes.set_title(textwrap.fill(repr(self), 90), fontsize="small", parse_math=False)
        return figure


def evaluate(value: Number, t: Tensor) -> Tensor:
    """The value at update `t` of a number, or of a schedule (ours or Keras')."""
    if not is_schedule(value):
        return value
    t = ops.convert_to_tensor(t)
    if isinstance(value, Schedule) or len(t.shape) == 0:
        return ops.cast(value(t), "float32")
    branches = keras.backend.backend() != "torch"  # its vectorized map cannot branch
    return ops.cast((ops.vectorized_map if branches else ops.map)(value, t), "float32")


class Pair(Schedule):
    """Base class of schedules with two operands."""

    def __init__(self, left: Number, right: Number):
        self.left = left
        self.right = right


@register
class Sum(Pair):
    r"""The sum of two schedules; `a + b` and `a - b` return it.

    $$\eta_t = a_t + b_t$$

    Args:
        left: Number or schedule $a$.
        right: Number or schedule $b$.

    Raises:
        ValueError: If an argument is neither a finite number nor a schedule.

    Example:
        >>> from keras_gdx.schedules import Linear
        >>> schedule = Linear(1.0, decay_steps=4) + 0.5
        >>> print(schedule.sample(6))
        [1.5  1.25 1.   0.75 0.5  0.5 ]

    Source: by definition

    Verified against: NumPy
    """

    def __call__(self, t: Tensor) -> Tensor:
        return evaluate(self.left, t) + evaluate(self.right, t)


@register
class Product(Pair):
    r"""The product of two schedules; `a * b` and `-a` return it.

    $$\eta_t = a_t \, b_t$$

    Args:
        left: Number or schedule $a$.
        right: Number or schedule $b$.

    Raises:
        ValueError: If an argument is neither a finite number nor a schedule.

    Example:
        >>> from keras_gdx.schedules import Linear
        >>> schedule = 2 * Linear(1.0, decay_steps=4)
        >>> print(schedule.sample(6))
        [2.  1.5 1.  0.5 0.  0. ]

    Source: by definition

    Verified against: NumPy
    """

    def __call__(self, t: Tensor) -> Tensor:
        return evaluate(self.left, t) * evaluate(self.right, t)


@register
class Quotient(Pair):
    r"""The quotient of two schedules, 0 where the divisor is 0; `a / b` returns it.

    $$\eta_t = a_t / b_t$$

    As a weight decay, `0.01 / rate` takes the same share of the weights in every update, whatever
    the rate.

    Args:
        left: Number or schedule $a$.
        right: Number or schedule $b$.

    Raises:
        ValueError: If an argument is neither a finite number nor a schedule.

    Example:
        >>> from keras_gdx.schedules import Linear
        >>> schedule = 1 / Linear(4.0, decay_steps=4)
        >>> print(schedule.sample(5).round(2))
        [0.25 0.33 0.5  1.   0.  ]

    Source: by definition

    Verified against: NumPy
    """

    def __call__(self, t: Tensor) -> Tensor:
        return ops.divide_no_nan(evaluate(self.left, t), evaluate(self.right, t))


@register
class Clipped(Schedule):
    r"""A schedule clipped to a range; `schedule.clip(low, high)` returns it.

    $$\eta_t = \min(\max(s_t, l), h)$$

    Args:
        schedule: Schedule $s$.
        low: Number, $l$: the minimum.
        high: Number, at least `low`, $h$: the maximum.

    Raises:
        ValueError: If `schedule` is not a schedule, a bound not finite, or `low > high`.

    Example:
        >>> from keras_gdx.schedules import Linear
        >>> schedule = Linear(1.0, decay_steps=4).clip(0.25, 0.75)
        >>> print(schedule.sample(6))
        [0.75 0.75 0.5  0.25 0.25 0.25]

    Source: by definition

    Verified against: NumPy
    """

    def __init__(self, schedule: LearningRateSchedule, low: float, high: float):
        self.schedule = schedule
        self.low = low
        self.high = high
        self._check(low <= high, "high", high, f"at least `low`, which is {low}")

    def __call__(self, t: Tensor) -> Tensor:
        return ops.clip(evaluate(self.schedule, t), self.low, self.high)


@register
class Shifted(Schedule):
    r"""A schedule that begins later; `schedule.shift(steps)` returns it.

    $$\eta_t = s_{\max(t - n, 0)}$$

    Args:
        schedule: Schedule $s$.
        steps: Integer >= 0, $n$: updates by which it is delayed.

    Raises:
        ValueError: If `schedule` is not a schedule, or `steps` not an integer >= 0.

    Example:
        >>> from keras_gdx.schedules import Linear
        >>> schedule = Linear(1.0, decay_steps=2).shift(2)
        >>> print(schedule.sample(6))
        [1.  1.  1.  0.5 0.  0. ]

    Source: by definition

    Verified against: NumPy
    """

    def __init__(self, schedule: LearningRateSchedule, steps: Steps):
        self.schedule = schedule
        self.steps = steps

    def __call__(self, t: Tensor) -> Tensor:
        return evaluate(self.schedule, ops.maximum(t - self.steps, 0))
