"""Backends without replicas of their own: everything is a plain tensor."""

from contextlib import nullcontext

import keras
from keras import ops


def outside_graph():
    """Where variables are made."""
    return nullcontext()


def near(optimizer, variable):
    """Places what is created in this context where `variable` lives."""
    return nullcontext()


def snapshot(variable):
    """The value of `variable` now, unchanged by later writes."""
    return ops.copy(variable)


def dense(gradient):
    """A gradient or a variable as one tensor."""
    return gradient


def is_fully_known(shape):
    """Whether a shape is known before the step runs: always here."""
    return True


def as_keras(variable):
    """The variable: here all are Keras' own."""
    return variable


def have_values(variables):
    """Whether all variables have values: here they have them as soon as there are any."""
    return True


def ensure_shape(gradient, shape):
    """The gradient: its shape is always known here."""
    return gradient


def with_table(gradient, variable):
    """The gradient: it is never sparse here."""
    return gradient


def values(gradient):
    """The entries of a gradient that are not zero by construction."""
    return gradient


def with_values(gradient, new):
    """The same gradient with other entries."""
    return new


def rows(gradient):
    """The rows that a sparse gradient names; `None` if it is dense."""
    return


def only_rows(gradient, all_rows):
    """The gradient: no rows are named here."""
    return gradient


def energy(gradient):
    """The sum of the squares of all entries."""
    return ops.sum(ops.square(gradient))


def stochastically_rounded(x, seed):
    """Not here: `keras.random` has no numbers that depend on the step alone."""
    raise NotImplementedError


def fuses(wanted):
    """Whether an update shall be a program of its own: the step around it is one already."""
    return False


def reduce(gradients, dtype=None):
    """The sum over replicas, without repeated rows."""
    return gradients


own = as_given = reduce


def largest(tensors):
    """Of each entry the largest on any replica."""
    return tensors


def replicas(optimizer):
    """One: `shard_state` is for TensorFlow's strategies."""
    return 1


def places(optimizer):
    """The numbers of the replicas of this process."""
    return range(1)


def mean(tensors):
    """The means over replicas."""
    return tensors


def run_if(predicate, fn, tensors, touched):
    """Runs `fn(tensors)` if `predicate`; if not, every variable of `touched` is as before."""
    if keras.backend.backend() != "jax":  # nothing is traced
        if predicate:
            fn(tensors)
        return
    before = [ops.convert_to_tensor(v) for v in touched]  # a branch would not keep what it assigns
    fn(tensors)
    for variable, old in zip(touched, before, strict=True):
        variable.assign(ops.where(predicate, ops.convert_to_tensor(variable), old))


def sync(model):
    """Gives variables the values that belong to them: on JAX steps of `fit` take them along."""
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()


def unconverted(fn):
    """`fn` as it is written."""
    return fn


def outside_step(optimizer, fn):
    """A function that runs `fn` between two steps."""
    return fn


def same_everywhere(flag):
    """Whether `flag` is true on every replica."""
    return flag


def in_replica(optimizer):
    """Whether a step may run here."""
    return True


def number(variable):
    """The value of a scalar as a Python number."""
    return ops.convert_to_numpy(variable).item()


def copies(variable):
    """The values of a variable on all replicas."""
    return [variable]
