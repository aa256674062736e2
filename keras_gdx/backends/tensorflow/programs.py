"""Graphs and compilation, and operations that compile well."""

import os
from contextlib import contextmanager
from functools import partial

import tensorflow as tf

from keras_gdx.backends.tensorflow.compiling import compiling
from keras_gdx.backends.tensorflow.gradients import is_fully_known, values
from keras_gdx.backends.tensorflow.in_place import in_order, order_helps
from keras_gdx.backends.tensorflow.one_loop import fuses_outputs, separate


def outside_graph():
    """Context in which variables are created, also while a function is traced."""
    return tf.init_scope()


@contextmanager
def unnoticed():
    """Like `outside_graph`, but TensorFlow does not trace the function again.

    Nothing in the function may depend on whether these variables exist already.
    """

    def create_now(create, **kwargs):
        return create(**kwargs | {"experimental_enable_variable_lifting": False})

    with outside_graph(), tf.variable_creator_scope(create_now):
        yield


def sync(model):
    """Updates the model's variables: not needed here, they always hold their current values."""


def unconverted(fn):
    """Exempts `fn` from AutoGraph conversion inside another `tf.function`."""
    return tf.autograph.experimental.do_not_convert(fn)


def fuses(wanted):
    """Whether to compile an update as its own program.

    Inside a compiled step, such a program becomes part of the step.
    """
    return wanted is True or (wanted == "auto" and not tf.executing_eagerly())


def programs_at_once():
    """The number of compiled updates that a step may run at the same time."""
    return tf.config.threading.get_inter_op_parallelism_threads() or os.cpu_count()


def program(update, elementwise=False):
    """Compiles `update(*args, old)` with XLA, as a function that overwrites what it updates.

    The function takes the objects to overwrite (`keras.Variable` or anything with `value` and
    `assign`) and the other arguments. Variables are changed in place.

    Args:
        update: The function.
        elementwise: Whether entries of its results depend on the same entries of tensors alone.
    """

    @partial(tf.function, jit_compile=True, autograph=False)
    def compiled(kept, in_one_loop, *args):
        old = [x.read_value() if isinstance(x, tf.Variable) else x for x in kept]
        if in_one_loop:
            results = separate(update, args, old)
        elif elementwise and order_helps():
            results = in_order(update, args, old)
        else:
            results = update(*args, old)
        moved = []
        for x, new in zip(kept, results, strict=True):
            if isinstance(x, tf.Variable):
                x.assign(new)
            else:
                moved.append(new)
        return moved

    def overwrite(kept, *args):
        values = [_local(x.value) for x in kept]
        alike = elementwise and len({tuple(x.shape) for x in values}) == 1
        in_one_loop = alike and not compiling() and fuses_outputs()
        moved = iter(compiled(values, in_one_loop, *args))
        for x, value in zip(kept, values, strict=True):
            if not isinstance(value, tf.Variable):
                x.assign(next(moved))

    return overwrite


def _local(value):
    """This replica's copy of a variable; a tensor unchanged."""
    return value._get() if hasattr(value, "_get") else value


LANES = 16


def energy(gradient):
    """The sum of the squares of all entries, in one pass."""
    x = values(gradient)
    if not compiling() or not is_fully_known(x.shape) or x.shape.num_elements() < LANES**4:
        return 2 * tf.nn.l2_loss(x)
    # On a CPU, XLA sums entries one by one; summing lanes first is vectorized.
    x = tf.reshape(x, (-1,))
    length = x.shape[0] // LANES
    lanes = sum(tf.square(x[i * length : (i + 1) * length]) for i in range(LANES))
    return tf.reduce_sum(lanes) + 2 * tf.nn.l2_loss(x[LANES * length :])


def stochastically_rounded(x, seed):
    """Rounds `x` to bfloat16, up or down stochastically, so that the mean is unbiased.

    The same seed gives the same result, compiled or not, on every replica.
    """
    bits = tf.bitcast(x, tf.uint32)
    noise = tf.random.stateless_uniform(
        tf.shape(x), tf.cast(seed, tf.int32), None, None, tf.uint32, alg="philox"
    )
    # A bfloat16 number is the upper half of a float32 number.
    up = bits + tf.bitwise.right_shift(noise, tf.constant(16, tf.uint32))
    upper = tf.bitwise.bitwise_and(up, tf.constant(0xFFFF0000, tf.uint32))
    return tf.cast(tf.bitcast(upper, tf.float32), tf.bfloat16)


def normal(shape, *seed):
    """Standard normal numbers in float32, a function of the shape and of the three seeds alone.

    They differ by rounding errors at most, compiled or not, and not between replicas.
    """
    first, *rest = (tf.cast(number, tf.int32) for number in seed)
    folded = tf.random.experimental.stateless_fold_in(tf.stack(rest), first, alg="philox")
    bits = tf.random.stateless_uniform(shape, folded, None, None, tf.uint32, alg="philox")
    # 23 bits, so that the middle of each interval is a float32 number below 1.
    number = tf.cast(tf.bitwise.right_shift(bits, tf.constant(9, tf.uint32)), tf.float32)
    return tf.math.ndtri((number + 0.5) * 2.0**-23)
