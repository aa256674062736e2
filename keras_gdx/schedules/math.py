"""The small words in which schedules are written."""

import math
import numbers

from keras import ops

from keras_gdx.config import check

__all__ = []

MOST_STEPS = 2**31 - 1  # what an int32 update index can count


def check_steps(name, value, low=0):
    """Checks that `value` is an integer from `low` on that an update index can reach."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    allowed = f"an integer in [{low}, {MOST_STEPS}] (optimizer updates)"
    check(whole and low <= value <= MOST_STEPS, name, value, allowed)


def elapsed(t, steps):
    """How many of the first `steps` updates are over at `t`; an integer if `t` is one."""
    return ops.clip(ops.convert_to_tensor(t), 0, steps)


def progress(t, steps):
    """Share of the first `steps` updates that is over at `t`, in [0, 1]."""
    if steps == 0:
        return ops.ones_like(t, dtype="float32")
    return ops.cast(elapsed(t, steps), "float32") / steps


def remaining(t, steps):
    """Share of the first `steps` updates that is still to come at `t`, in [0, 1].

    Counted in integers: `1 - progress` has no digits left near the end of a long run.
    """
    return ops.cast(steps - elapsed(t, steps), "float32") / steps


def remaining_of_multiple(t, steps):
    """Share that is still to come, in [0, 1], of the least multiple of `steps` that is >= `t`."""
    t = ops.convert_to_tensor(t)
    before = ops.maximum(t - 1, 0)  # what is a multiple itself is the end of it
    whole = before // steps
    left = steps - (t - whole * steps)
    return ops.cast(left, "float32") / (float(steps) * (ops.cast(whole, "float32") + 1))


def turns(t, steps):
    """How often `steps` updates are over at `t`, and the share of the next that is, in [0, 1)."""
    t = ops.convert_to_tensor(t)
    whole = t // steps
    return ops.cast(whole, "float32"), ops.cast(t - whole * steps, "float32") / steps


def blend(a, b, share):
    """From `b` (at `share` 0) to `a` (at 1), exact at both ends."""
    return a * share + b * (1.0 - share)


def half_wave(share):
    """From 0 (at `share` 0) to 1: `(1 - cos(pi * share)) / 2`, but to the last digit."""
    return ops.sin(math.pi / 2 * share) ** 2
