"""Weights of 16 bits that do not lose small updates.

A bfloat16 number has 8 bits: an update below half a per cent of a weight rounds to nothing,
however often it comes. Either what rounding took is kept for the next update (compensated
summation), or rounding goes up or down by chance, right on average.
"""

from keras import ops

from keras_gdx.backends import backend

LOST = "compensation"  # the slot of what rounding took from the weights


def widened(w, slots, dtype):
    """The weights as the rule sees them."""
    w = ops.cast(w, dtype)
    return w + slots[LOST] if LOST in slots else w


def narrowed(optimizer, h, w, slots, dtype):
    """The weights to store, and the slots with what that took from them."""
    if LOST in slots:
        stored = ops.cast(w, dtype)
        return stored, slots | {LOST: w - ops.cast(stored, w.dtype)}
    if optimizer.precision == "stochastic" and dtype == "bfloat16":
        return backend.stochastically_rounded(w, ops.stack([h.t, h.place])), slots
    return ops.cast(w, dtype), slots
