"""The operations for backends without replicas: everything is a plain tensor."""

from contextlib import nullcontext
from itertools import accumulate
from math import prod

import keras
from keras import ops


def outside_graph():
    """Context in which variables are created."""
    return nullcontext()


def unnoticed():
    """Context in which variables are created, while a function is traced."""
    return nullcontext()


def near(optimizer, variable):
    """Context in which new variables are placed on the device of `variable`."""
    return nullcontext()


def snapshot(variable):
    """The current value of `variable`, unaffected by later writes."""
    return ops.copy(variable)


def dense(gradient):
    """A gradient or a variable as a dense tensor."""
    return gradient


def is_fully_known(shape):
    """Whether a shape is static: always true here."""
    return True


def as_keras(variable):
    """Returns the variable: all are Keras variables here."""
    return variable


def have_values(variables):
    """Whether all variables are initialized: always true here."""
    return True


def ensure_shape(gradient, shape):
    """Returns the gradient: its shape is always static here."""
    return gradient


def with_table(gradient, variable):
    """Returns the gradient: it is never sparse here."""
    return gradient


def values(gradient):
    """The stored entries of a gradient."""
    return gradient


def with_values(gradient, new):
    """The same gradient with other entries."""
    return new


def rows(gradient):
    """The row indices of a sparse gradient; `None` if it is dense."""
    return


def only_rows(gradient, all_rows):
    """Returns the gradient: it is never sparse here."""
    return gradient


def join(tensors):
    """One vector of all entries of tensors or variables."""
    return ops.concatenate([ops.reshape(x, (-1,)) for x in tensors])


def split(vector, shapes):
    """Tensors of these shapes that `join` would join into the vector."""
    *ends, _ = accumulate(prod(shape) for shape in shapes)
    parts = ops.split(vector, ends)
    return [ops.reshape(x, shape) for x, shape in zip(parts, shapes, strict=True)]


split_result = split


def energy(gradient):
    """The sum of the squares of all entries."""
    return ops.sum(ops.square(gradient))


def stochastically_rounded(x, seed):
    """Not available: `keras.random` cannot derive numbers from the step alone."""
    raise NotImplementedError


def normal(shape, *seed):
    """Not available, for the same reason."""
    raise NotImplementedError


def fuses(wanted):
    """Whether to compile an update as its own program: no, the surrounding step is compiled."""
    return False


def programs_at_once():
    """The number of compiled updates that run at the same time: there is one step."""
    return 1


def reduce(gradients, dtype=None):
    """The sum over replicas, with each sparse row once."""
    return gradients


own = as_given = reduce


def largest(tensors):
    """The elementwise maximum over replicas."""
    return tensors


def replicas(optimizer):
    """The number of replicas: always 1, `shard_state` needs TensorFlow."""
    return 1


def local_replicas(optimizer):
    """The indices of the replicas of this process."""
    return range(1)


def mean(tensors):
    """The means over replicas."""
    return tensors


def run_if(predicate, fn, tensors, touched):
    """Runs `fn(tensors)` if `predicate`; otherwise the variables in `touched` keep their values."""
    if keras.backend.backend() != "jax":  # nothing is traced
        if predicate:
            fn(tensors)
        return
    before = [ops.convert_to_tensor(v) for v in touched]  # a traced branch loses assignments
    fn(tensors)
    for variable, old in zip(touched, before, strict=True):
        variable.assign(ops.where(predicate, ops.convert_to_tensor(variable), old))


def sync(model):
    """Updates the model's variables: on JAX, `fit` keeps their current values elsewhere."""
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()


def unconverted(fn):
    """Returns `fn` unchanged."""
    return fn


def outside_step(optimizer, fn):
    """Returns a function that runs `fn` between two steps."""
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
    """The copies of a variable on all replicas."""
    return [variable]
