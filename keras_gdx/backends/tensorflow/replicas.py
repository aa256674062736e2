"""Communication between replicas, and branches that may communicate.

Keras clips and checks each replica's own gradient, and reduces afterwards. Here the sum over
replicas comes first, so that N replicas take exactly the step that one would take on the same
global batch. Optimizer state has no aggregation: each replica writes its own copy, and all copies
stay equal because the reduced gradient is equal.
"""

from contextvars import copy_context
from functools import partial

import tensorflow as tf

from keras_gdx.backends.tensorflow.compiling import compiling
from keras_gdx.backends.tensorflow.gradients import cast, native_of, values, with_values
from keras_gdx.backends.tensorflow.sparse import coalesced

_distribute = tf.__internal__.distribute  # private: whether merge_call is needed at all

BUCKET = 2**24  # bytes per message, sent as soon as they are ready, during the backward pass


def reduce(gradients, dtype=None):
    """The sum over replicas, in one or a few packed all-reduces, with each sparse row once.

    Args:
        gradients: One for each bucket.
        dtype: The dtype in which they are sent; `None` for their own.
    """
    context = _others(gradients)
    if context is None:
        return [coalesced(g) for g in gradients]
    sent = [g if dtype is None else cast(g, dtype) for g in gradients]
    # The backward pass ends with the first layers, so the last ones are sent first.
    options = tf.distribute.experimental.CommunicationOptions(bytes_per_pack=BUCKET)
    sums = context.all_reduce(tf.distribute.ReduceOp.SUM, sent[::-1], options)[::-1]
    pairs = zip(sums, gradients, strict=True)
    return [coalesced(cast(x, values(g).dtype)) for x, g in pairs]


def _others(tensors):
    """The replica context; `None` without other replicas or without tensors."""
    context = tf.distribute.get_replica_context()
    alone = context is None or context.num_replicas_in_sync == 1
    return None if alone or not tensors else context


def own(gradients, dtype=None):
    """Each replica's own gradients, scaled as if its part were the whole batch; nothing is sent."""
    context = tf.distribute.get_replica_context()
    replicas = 1 if context is None else context.num_replicas_in_sync
    return [coalesced(with_values(g, values(g) * replicas)) for g in gradients]


def as_given(gradients, dtype=None):
    """Returns gradients that are equal on all replicas already."""
    return gradients


def largest(tensors):
    """The elementwise maximum over replicas."""
    if _others(tensors) is None:
        return tensors
    return [tf.reduce_max(x, axis=0) for x in gather(tensors)]


def replicas(optimizer):
    """The number of replicas that share the optimizer's variables."""
    return optimizer._distribution_strategy.num_replicas_in_sync


def local_replicas(optimizer):
    """The indices of the replicas of this process."""
    strategy = optimizer._distribution_strategy
    workers = getattr(strategy.extended, "_num_workers", 1)
    local = strategy.num_replicas_in_sync // workers
    first = local * getattr(strategy.extended, "_id_in_cluster", 0)
    return range(first, first + local)


def replica_index(expected):
    """The index of this replica; raises `ValueError` unless there are `expected` replicas."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync != expected:
        raise ValueError(
            f"The optimizer was built for a strategy with {expected} replicas, each of which "
            f"holds a shard of its state, so it can be applied on {expected} replicas only. It "
            f"is applied on {context.num_replicas_in_sync}."
        )
    return context.replica_id_in_sync_group


def gather(tensors):
    """Stacks each tensor over all replicas, along a new first axis; packed into few messages."""
    context = tf.distribute.get_replica_context()
    found: dict = {}
    for dtype in dict.fromkeys(x.dtype for x in tensors):
        chosen = [i for i, x in enumerate(tensors) if x.dtype == dtype]
        sizes = [tensors[i].shape.num_elements() for i in chosen]
        flat = tf.concat([tf.reshape(tensors[i], (-1,)) for i in chosen], axis=0)
        joined = context.all_gather(flat, axis=0)
        rows = tf.reshape(joined, (context.num_replicas_in_sync, sum(sizes)))
        for i, row in zip(chosen, tf.split(rows, sizes, axis=1), strict=True):
            found[i] = tf.reshape(row, (-1, *tensors[i].shape))
    return [found[i] for i in range(len(tensors))]


def mean(tensors):
    """The means over replicas, in one all-reduce."""
    context = _others(tensors)
    if context is None:
        return tensors
    # the value of a variable has no device, which several workers require
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, [tf.identity(x) for x in tensors])


def run_if(predicate, fn, tensors, touched):
    """Runs `fn(tensors)` if `predicate`. The replicas may communicate in `fn`."""

    def taken():
        fn(tensors)
        return True

    if compiling():  # replicas cannot wait for each other inside a program of XLA
        run_here_if(predicate, taken)
    else:
        either(predicate, taken, lambda: False)


def either(predicate, yes, no):
    """Returns `yes()` if `predicate`, otherwise `no()`. The replicas may communicate in both.

    A `tf.cond` inside a replica must not contain a synchronization point. So the branch is taken
    outside of the replicas, once for all of them, and each goes on in another thread, with the
    context variables that it has here.
    """
    if _distribute.strategy_supports_no_merge_call():
        return tf.cond(predicate, yes, no)

    def merged(strategy, predicate, *branches):
        first = strategy.experimental_local_results(predicate)[0]
        call = strategy.extended.call_for_each_replica
        return tf.cond(first, *(partial(call, _called, args=(fn,)) for fn in branches))

    branches = (partial(copy_context().run, fn) for fn in (yes, no))
    context = tf.distribute.get_replica_context()
    return context.merge_call(merged, args=(predicate, *branches))


def _called(fn):
    return fn()


def run_here_if(predicate, fn):
    """Runs `fn()` on this replica if `predicate`; `fn` must not communicate with other replicas."""

    def taken(_):
        fn()
        return [False]

    # XLA overwrites in place what a loop changes, and copies what a branch may change
    tf.while_loop(lambda due: due, taken, [predicate])


def outside_step(optimizer, fn):
    """Returns a function that runs `fn` in every replica, between two steps."""
    return tf.function(lambda: optimizer._distribution_strategy.run(fn), autograph=False)


def same_everywhere(flag):
    """Whether `flag` is true on every replica."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return flag
    failed = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.cast(~flag, tf.int32))
    return tf.equal(failed, 0)


def in_replica(optimizer):
    """Whether a step may run here."""
    return tf.distribute.in_cross_replica_context() is False


def near(optimizer, variable):
    """Context in which new variables are placed on the device of `variable`."""
    return optimizer._distribution_strategy.extended.colocate_vars_with(native_of(variable))
