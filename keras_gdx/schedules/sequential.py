"""Schedules one after another."""

from collections.abc import Sequence

from keras import ops

from keras_gdx.arguments import Number, Steps, check_type
from keras_gdx.registry import register
from keras_gdx.schedules.base import Schedule, evaluate
from keras_gdx.schedules.math import elapsed

__all__ = ["Sequential"]


@register
class Sequential(Schedule):
    r"""Schedules one after another; each counts its own updates from 0.

    With pieces $(n_i, s_i)$ and boundaries $b_i = n_1 + \cdots + n_{i-1}$,

    $$\eta_t = s_i(t - b_i) \quad \text{for} \quad b_i \le t < b_{i+1},$$

    and from the end of the last piece on the value is its $s_i(n_i)$.

    Args:
        pieces: Non-empty list of pairs `(steps, schedule)`: a number of updates (integer >= 0),
            and a schedule (also one of Keras' own) or a number.

    Raises:
        ValueError: If `pieces` is empty or a pair is not as above.

    Example:
        >>> from keras_gdx.schedules import Linear, Sequential
        >>> schedule = Sequential([(2, 0.5), (4, Linear(1.0, decay_steps=4))])
        >>> print(schedule.sample(8))
        [0.5  0.5  1.   0.75 0.5  0.25 0.   0.  ]

    Source: by definition

    Verified against: optax join_schedules
    """

    def __init__(self, pieces: Sequence[tuple[Steps, Number]]):
        self._check(
            isinstance(pieces, (list, tuple))
            and len(pieces) > 0
            and all(isinstance(piece, (list, tuple)) and len(piece) == 2 for piece in pieces),
            "pieces",
            pieces,
            "a non-empty list of pairs (steps, schedule)",
        )
        for i, (steps, schedule) in enumerate(pieces):
            check_type(f"pieces[{i}][0]", steps, Steps, of=self)
            check_type(f"pieces[{i}][1]", schedule, Number, of=self)
        self.pieces: list[tuple[int, Number]] = [(steps, each) for steps, each in pieces]

    def __call__(self, t):
        value, start = 0.0, 0
        for steps, schedule in self.pieces:
            piece = evaluate(schedule, elapsed(t - start, steps))
            value = ops.where(t < start, value, piece)
            start += steps
        return value
