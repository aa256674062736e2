"""One loop for an update with several results, where XLA fuses outputs on a CPU.

By default, XLA makes a loop for each tensor that a program overwrites. With its option
`xla_cpu_use_multi_output_fusion` it fuses results, but only those that do not depend on each other.
So here each is computed from the old values alone, behind barriers that keep XLA from computing it
from another one.

The option is set by the user, before the process starts: it is read once, and holds for all
programs of the process, of which some make this version of XLA abort (openxla/xla issue 47367).
"""

import functools
import os

import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla  # private: `optimization_barrier`

OPTION = "xla_cpu_use_multi_output_fusion"


def is_asked_for():
    """Whether the user has set the option."""
    return OPTION in os.environ.get("XLA_FLAGS", "")


def fuses_outputs():
    """Whether the option is set, and XLA does what it says."""
    return is_asked_for() and _compiler_fuses()


@functools.cache
def _compiler_fuses():
    """Compiles two results in one program, and counts its loops."""
    if tf.config.list_logical_devices("GPU"):
        return False

    @tf.function(jit_compile=True, autograph=False)
    def two(x, y):
        return separate(lambda a, old: [old[0] + a, (old[0] + a) * old[1]], (x,), [x, y])

    with tf.init_scope():
        x = tf.ones(1000)
        text = two.experimental_get_compiler_ir(x, x)(stage="optimized_hlo")
    return text[text.index("ENTRY") :].count(" fusion(") == 1


def separate(update, args, old):
    """The results of `update(*args, old)`, none of which depends on another."""
    flat = tf.nest.flatten((args, old))
    places = [i for i, x in enumerate(flat) if tf.is_tensor(x)]

    def result(number):
        held = [flat[i] for i in places]
        for _ in range(number + 1):  # XLA merges equal barriers
            held = xla.optimization_barrier(*held)
        now = dict(enumerate(flat)) | dict(zip(places, held, strict=True))
        args_now, old_now = tf.nest.pack_sequence_as((args, old), [*now.values()])
        return update(*args_now, old_now)[number]

    return [result(i) for i in range(len(old))]


def held_apart(*tensors):
    """The tensors, behind a barrier: XLA aborts if it fuses two scatters of the same indices."""
    return xla.optimization_barrier(*tensors) if is_asked_for() else tensors
