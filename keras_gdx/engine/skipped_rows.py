"""Rows whose moving averages have missed updates, because lazy updates skipped them."""

from keras import ops

UPDATED = "updated"  # the slot that has, for each row, the number of its last update


def caught_up(rule, h, slots):
    """The slots as if the skipped updates had had gradients of zero.

    Args:
        rule: The rule; its slots name the arguments that they decay by.
        h: The `Scalars` of this update.
        slots: Slots of the rows to update, by name.
    """
    if UPDATED not in slots:
        return slots
    last = slots[UPDATED]
    skipped = ops.maximum(h.t - 1 - last, 0.0)
    found = {}
    for slot in rule.own_slots():
        if slot.decays:
            value = slots[slot.name]
            factor = ops.power(ops.cast(getattr(h, slot.decays), value.dtype), skipped)
            rank = len(value.shape)
            found[slot.name] = value * ops.reshape(factor, (-1, *(1 for _ in range(rank - 1))))
    return {**slots, **found, UPDATED: ops.zeros_like(last) + h.t}
