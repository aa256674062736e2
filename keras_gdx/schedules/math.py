"""Numerically exact helpers for schedules."""

import math

from keras import ops

from keras_gdx.arguments import Tensor

__all__: list[str] = []


def elapsed(t: Tensor, steps: int) -> Tensor:
    """How many of the first `steps` updates are done at `t`; an integer if `t` is one."""
    return ops.clip(ops.convert_to_tensor(t), 0, steps)


def progress(t: Tensor, steps: int) -> Tensor:
    """Fraction of the first `steps` updates that is done at `t`, in [0, 1]."""
    if steps == 0:
        return ops.ones_like(t, dtype="float32")
    return ops.cast(elapsed(t, steps), "float32") / steps


def remaining(t: Tensor, steps: int) -> Tensor:
    """Fraction of the first `steps` updates that remains at `t`, in [0, 1].

    Computed with integers: `1 - progress` loses all precision near the end of a long run.
    """
    return ops.cast(steps - elapsed(t, steps), "float32") / steps


def remaining_of_multiple(t: Tensor, steps: int) -> Tensor:
    """As `remaining`, for the smallest multiple of `steps` that is >= `t`."""
    t = ops.convert_to_tensor(t)
    before = ops.maximum(t - 1, 0)  # a multiple belongs to the cycle that it ends
    whole = before // steps
    left = steps - (t - whole * steps)
    return ops.cast(left, "float32") / (float(steps) * (ops.cast(whole, "float32") + 1))


def turns(t: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The number of complete cycles of `steps` updates at `t`, and the done part of the next."""
    t = ops.convert_to_tensor(t)
    whole = t // steps
    return ops.cast(whole, "float32"), ops.cast(t - whole * steps, "float32") / steps


def blend(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """Linear interpolation from `b` (at `share` 0) to `a` (at 1), exact at both ends."""
    return a * share + b * (1.0 - share)


def half_wave(share: Tensor) -> Tensor:
    """`(1 - cos(pi * share)) / 2`, from 0 to 1, without cancellation near 0."""
    return ops.sin(math.pi / 2 * share) ** 2
