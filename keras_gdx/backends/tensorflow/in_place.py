"""An order of results in which XLA overwrites in place on a CPU.

The weights may need more than the new slots: Lion's also the old momentum, and AdamW's, if slots
have 16 bits, the moments before they are rounded. XLA then copies these slots, in case it would
overwrite them before it computes the weights. It copies nothing if the new slots depend on the
new weights.
"""

import math

import tensorflow as tf

from keras_gdx.backends.tensorflow.one_loop import is_asked_for


def order_helps():
    """Whether XLA makes a loop for each result, rather than one for several: on CPUs it does."""
    on_cpu = all(device.device_type == "CPU" for device in tf.config.list_logical_devices())
    return on_cpu and not is_asked_for()


def in_order(update, args, old):
    """The results of `update(*args, old)`, those last whose old values others need."""
    results = update(*args, old)
    stops = {x.ref() for x in (*results, *old)}
    origins = [_origins(result, stops) for result in results]
    last = {
        i
        for i, x in enumerate(old)
        if any(x.ref() in found for j, found in enumerate(origins) if j != i)
    }
    first = [x for i, x in enumerate(results) if i not in last]
    if not last or not first:
        return results
    entries = [tf.cast(tf.reshape(x, (-1,))[:1], tf.float32) for x in first]
    never = tf.reduce_any(tf.concat(entries, 0) > math.inf)  # but XLA waits for it

    def after(x):
        return tf.where(never, tf.zeros((), x.dtype), x)

    held = {old[i].ref() for i in last}
    later = update(*args, [after(x) if x.ref() in held else x for x in old])
    for i in last:  # a result that needs nothing that waits has to wait itself
        results[i] = later[i] if origins[i] & held else after(later[i])
    return results


def _origins(result, stops):
    """What `result` is computed from, back to the nearest of `stops`."""
    found: set = set()
    seen: set = set()
    waiting = [result]
    while waiting:
        inputs = {x.ref() for x in waiting.pop().op.inputs}
        found |= inputs & stops
        waiting += [x.deref() for x in inputs - stops - seen]
        seen |= inputs
    return found
