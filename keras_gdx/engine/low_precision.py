"""16-bit weights that do not lose small updates.

bfloat16 has 8 significant bits, so an update below 0.2 to 0.4 percent of a weight is rounded away,
however often it is repeated. Remedies: keep the rounding error for the next update (compensated
summation), or round stochastically, which is unbiased.
"""

from keras import ops

from keras_gdx.backends import backend

LOST = "compensation"  # the slot of the weights' rounding errors


def widened(w, slots, dtype):
    """The weights in `dtype`, with their rounding errors added back."""
    w = ops.cast(w, dtype)
    return w + slots[LOST] if LOST in slots else w


def narrowed(optimizer, h, w, slots, dtype):
    """The weights in their stored dtype, and the slots with the new rounding errors."""
    if LOST in slots:
        stored = ops.cast(w, dtype)
        return stored, slots | {LOST: w - ops.cast(stored, w.dtype)}
    if optimizer.precision == "stochastic" and dtype == "bfloat16":
        return backend.stochastically_rounded(w, ops.stack([h.t, h.index])), slots
    return ops.cast(w, dtype), slots
