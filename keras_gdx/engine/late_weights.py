"""Where the weights came later than the state that begins as a copy of them.

Keras makes the variables of a model without an input shape while the first step is traced, and
TensorFlow gives them their values after that. State that is made in between has nothing to copy.
So steps copy, until there has been an update: before that the weights do not move.

Weights that a model is given after the optimizer was built, but before the first update, are what
training begins with too. `fit` looks for them, so that steps need not.
"""

from keras import ops

from keras_gdx.backends import backend
from keras_gdx.config import check


def comes_late(optimizer, variables):
    """Whether state that copies these variables must wait for their values.

    Raises:
        ValueError: If it must, and there have been updates: of what, nobody knows.
    """
    if not copies_weights(optimizer) or backend.have_values(variables):
        return False
    made = updates_of(optimizer)
    before = "0 until the model is built, for example by `model.build(input_shape)`"
    check(made == 0, "iterations", made, before)
    return True


def updates_of(optimizer):
    """How many updates an optimizer has made, between two steps."""
    return int(ops.convert_to_numpy(optimizer.iterations))


def copies_weights(optimizer):
    """Whether any of an optimizer's state begins as a copy of the weights."""
    rules = (optimizer, *(getattr(optimizer, part) for part in optimizer.parts))
    return optimizer.use_ema or any(s.init == "variable" for r in rules for s in r.all_slots())


def begin_anew(optimizer):
    """Copies the weights as they are now, if there has been no update yet."""
    if optimizer.built and copies_weights(optimizer) and not updates_of(optimizer):
        optimizer.state.copy_weights(optimizer.model_variables)


def begin(optimizer):
    """Copies the weights of this replica, if they came late and have not moved yet."""
    if optimizer.state.late:
        backend.run_here_if(optimizer.iterations == 0, lambda: _copy_weights(optimizer))


def _copy_weights(optimizer):
    state, variables = optimizer.state, optimizer.model_variables
    for bucket in state.buckets:
        if not bucket.copied:
            continue
        weights = bucket.join([ops.cast(variables[i], bucket.dtype) for i in bucket.indices])
        if bucket.replicas > 1:
            weights = bucket.cut(weights, backend.place(bucket.replicas))
        for name in bucket.copied:
            (slot,) = bucket.slots[name].variables
            slot.assign(weights)
    if state.averages:
        for variable, average in zip(variables, state.averages, strict=True):
            average.assign(ops.cast(variable, average.dtype))
