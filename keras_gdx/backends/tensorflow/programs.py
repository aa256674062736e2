"""Graphs: where they are made, what is compiled, and sums that compile well."""

from functools import partial

import tensorflow as tf

from keras_gdx.backends.tensorflow.compiling import compiling
from keras_gdx.backends.tensorflow.gradients import is_fully_known, values


def outside_graph():
    """Where variables are made, also while a function is being traced."""
    return tf.init_scope()


def sync(model):
    """Gives variables the values that belong to them: here they always have them."""


def unconverted(fn):
    """`fn` as it is written: AutoGraph need not read it inside somebody's `tf.function`."""
    return tf.autograph.experimental.do_not_convert(fn)


def fuses(wanted):
    """Whether an update shall be a program of its own here.

    Inside a compiled step such a program is simply a part of it.
    """
    return wanted is True or (wanted == "auto" and not tf.executing_eagerly())


def program(update):
    """`update(*args, old)`, compiled by XLA, as a function that overwrites.

    It takes what is to be overwritten, as `keras.Variable` or something with `value` and
    `assign`, and the other arguments. Variables are changed in place.
    """

    @partial(tf.function, jit_compile=True, autograph=False)
    def compiled(kept, *args):
        old = [x.read_value() if isinstance(x, tf.Variable) else x for x in kept]
        moved = []
        for x, new in zip(kept, update(*args, old), strict=True):
            if isinstance(x, tf.Variable):
                x.assign(new)
            else:
                moved.append(new)
        return moved

    def overwrite(kept, *args):
        values = [_local(x.value) for x in kept]
        moved = iter(compiled(values, *args))
        for x, value in zip(kept, values, strict=True):
            if not isinstance(value, tf.Variable):
                x.assign(next(moved))

    return overwrite


def _local(value):
    """A tensor as it is; of a variable the one that this replica holds."""
    return value._get() if hasattr(value, "_get") else value


LANES = 16


def energy(gradient):
    """The sum of the squares of all entries, in one pass."""
    x = values(gradient)
    if not compiling() or not is_fully_known(x.shape) or x.shape.num_elements() < LANES**4:
        return 2 * tf.nn.l2_loss(x)
    # XLA adds up on a processor one by one; sums of lanes first are vectorized.
    x = tf.reshape(x, (-1,))
    length = x.shape[0] // LANES
    lanes = sum(tf.square(x[i * length : (i + 1) * length]) for i in range(LANES))
    return tf.reduce_sum(lanes) + 2 * tf.nn.l2_loss(x[LANES * length :])


def stochastically_rounded(x, seed):
    """`x` as bfloat16: each number goes up or down, in proportion to how near either is.

    The same for the same seed, compiled or not, and on every replica.
    """
    bits = tf.bitcast(x, tf.uint32)
    noise = tf.random.stateless_uniform(
        tf.shape(x), tf.cast(seed, tf.int32), None, None, tf.uint32, alg="philox"
    )
    # A bfloat16 number is the upper half of a float32 one.
    up = bits + tf.bitwise.right_shift(noise, tf.constant(16, tf.uint32))
    upper = tf.bitwise.bitwise_and(up, tf.constant(0xFFFF0000, tf.uint32))
    return tf.cast(tf.bitcast(upper, tf.float32), tf.bfloat16)
