"""State that copies the weights, where the weights get their values later.

Keras makes the variables of a model without an input shape while it traces the first step, and
TensorFlow gives them their values after tracing. State created in between has nothing to copy.
So every step copies the weights until the first update, which is the first to change them.

The weights may also be set after the optimizer was built and before the first update. Training
starts from those. `fit` checks for this once, so steps need not.
"""

from keras import ops

from keras_gdx.arguments import check
from keras_gdx.backends import backend


def comes_late(optimizer, variables):
    """Whether state that copies these variables must wait for their values.

    Raises:
        ValueError: If it must wait, but updates have already been made.
    """
    if not copies_weights(optimizer) or backend.have_values(variables):
        return False
    made = updates_of(optimizer)
    before = "0 until the model is built, for example by `model.build(input_shape)`"
    check(made == 0, "iterations", made, before)
    return True


def updates_of(optimizer):
    """The number of updates that an optimizer has made. Call it between steps."""
    return int(ops.convert_to_numpy(optimizer.iterations))


def copies_weights(optimizer):
    """Whether any of an optimizer's state starts as a copy of the weights."""
    return optimizer.use_ema or any(
        s.init == "variable" for r in optimizer.all_rules() for s in r.all_slots()
    )


def begin_anew(optimizer):
    """Copies the current weights, if there has been no update yet."""
    if optimizer.built and copies_weights(optimizer) and not updates_of(optimizer):
        optimizer.state.copy_weights(optimizer.model_variables)


def begin(optimizer):
    """Copies this replica's weights, if they were initialized late and there has been no update."""
    if optimizer.state.late:
        backend.run_here_if(optimizer.iterations == 0, lambda: _copy_weights(optimizer))


def _copy_weights(optimizer):
    state, variables = optimizer.state, optimizer.model_variables
    for bucket in state.buckets:
        if not bucket.copied:
            continue
        weights = bucket.join([ops.cast(v, bucket.dtype) for v in bucket.members(variables)])
        if bucket.replicas > 1:
            weights = bucket.cut(weights, backend.replica_index(bucket.replicas))
        for name in bucket.copied:
            (slot,) = bucket.slots[name].variables
            slot.assign(weights)
    if state.averages:
        for variable, average in zip(variables, state.averages, strict=True):
            average.assign(ops.cast(variable, average.dtype))
