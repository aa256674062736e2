"""TensorFlow: replicas, sparse gradients, branches in which replicas may talk.

Keras clips and inspects each replica's own gradient and reduces afterwards. Here the
sum over replicas comes first, so that N replicas take exactly the step that one would
take on the same global batch. Optimizer state has no aggregation: a write in a replica
is local to it, and equal on all of them because the reduced gradient is.
"""

from functools import partial

import tensorflow as tf
from tensorflow.python.ops import control_flow_util  # private: whether XLA compiles a step

from keras_gdx.engine.structure import Recorded

_distribute = tf.__internal__.distribute  # private: whether merge_call is needed at all


def outside_graph():
    """Where variables are made, also while a function is being traced."""
    return tf.init_scope()


def near(optimizer, variable):
    """Places what is created in this context where `variable` lives."""
    return optimizer._distribution_strategy.extended.colocate_vars_with(_native(variable))


def snapshot(variable):
    """The value of `variable` now, unchanged by later writes."""
    return tf.identity(variable)


def dense(gradient):
    """A gradient or a variable as one tensor."""
    return tf.convert_to_tensor(gradient)


def is_fully_known(shape):
    """Whether a shape is known before the step runs."""
    return tf.TensorShape(shape).is_fully_defined()


def ensure_shape(gradient, shape):
    """The gradient, refused when the step runs if it has another shape."""
    return gradient if rows(gradient) is not None else tf.ensure_shape(gradient, shape)


def with_table(gradient, variable):
    """The gradient; if it is sparse, it knows the shape of the whole."""
    if isinstance(gradient, tf.IndexedSlices) and gradient.dense_shape is None:
        return tf.IndexedSlices(gradient.values, gradient.indices, tf.constant(variable.shape))
    return gradient


def values(gradient):
    """The entries of a gradient that are not zero by construction."""
    return gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient


def with_values(gradient, new):
    """The same gradient with other entries."""
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(new, gradient.indices, gradient.dense_shape)
    return new


def only_rows(gradient):
    """The rows of a gradient that are not zero, as a sparse gradient."""
    flat = tf.reshape(gradient, (tf.shape(gradient)[0], -1))
    found = tf.where(tf.reduce_any(flat != 0, axis=1))[:, 0]
    return tf.IndexedSlices(tf.gather(gradient, found), found, tf.shape(gradient))


def rows(gradient):
    """The rows that a sparse gradient names; `None` if it is dense."""
    return gradient.indices if isinstance(gradient, tf.IndexedSlices) else None


def read_rows(variable, rows, dtype):
    """Some rows of a variable, without reading the others."""
    return tf.cast(tf.gather(_native(variable), rows), dtype)


def write_rows(variable, rows, new):
    """Replaces some rows of a variable, without touching the others."""
    native = _native(variable)
    native.scatter_update(tf.IndexedSlices(tf.cast(new, native.dtype), rows))


def _native(variable):
    return variable.value if hasattr(variable, "path") else variable


LANES = 16


def energy(gradient):
    """The sum of the squares of all entries, in one pass."""
    x = values(gradient)
    if not _compiling() or not is_fully_known(x.shape) or x.shape.num_elements() < LANES**4:
        return 2 * tf.nn.l2_loss(x)
    # XLA adds up on a processor one by one; sums of lanes first are vectorized.
    x = tf.reshape(x, (-1,))
    length = x.shape[0] // LANES
    lanes = sum(tf.square(x[i * length : (i + 1) * length]) for i in range(LANES))
    return tf.reduce_sum(lanes) + 2 * tf.nn.l2_loss(x[LANES * length :])


def _compiling():
    """Whether the graph that is being built will be compiled by XLA."""
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def rounded_by_chance(x, seed):
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


BUCKET = 2**24  # bytes that are sent as soon as they are there, while backward goes on


def reduce(gradients, dtype=None):
    """The sum over replicas, in one packed all-reduce or a few, without repeated rows.

    Args:
        gradients: One for each group.
        dtype: What they travel in, if not their own.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return [_coalesced(g) for g in gradients]
    sent = [g if dtype is None else _cast(g, dtype) for g in gradients]
    # Backward ends with the first layers, so the last ones are sent first.
    options = tf.distribute.experimental.CommunicationOptions(bytes_per_pack=BUCKET)
    sums = context.all_reduce(tf.distribute.ReduceOp.SUM, sent[::-1], options)[::-1]
    pairs = zip(sums, gradients, strict=True)
    return [_coalesced(_cast(x, values(g).dtype)) for x, g in pairs]


def own(gradients, dtype=None):
    """Each replica's own gradients, as if its part were the whole batch; nothing is sent."""
    context = tf.distribute.get_replica_context()
    replicas = 1 if context is None else context.num_replicas_in_sync
    return [_coalesced(with_values(g, values(g) * replicas)) for g in gradients]


def as_given(gradients, dtype=None):
    """Gradients that are the same on all replicas already."""
    return gradients


def replicas(optimizer):
    """How many replicas move the optimizer's variables together."""
    return optimizer._distribution_strategy.num_replicas_in_sync


def places(optimizer):
    """The numbers of the replicas of this process."""
    strategy = optimizer._distribution_strategy
    workers = getattr(strategy.extended, "_num_workers", 1)
    local = strategy.num_replicas_in_sync // workers
    first = local * getattr(strategy.extended, "_id_in_cluster", 0)
    return range(first, first + local)


def place(expected):
    """The number of the replica that asks; raises `ValueError` if there are not so many."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync != expected:
        raise ValueError(
            f"The optimizer was built in the scope of a strategy with {expected} replicas, each of "
            "which has a piece of its state, and can make a step there only. Here are "
            f"{context.num_replicas_in_sync}."
        )
    return context.replica_id_in_sync_group


def gather(tensors):
    """Each of the tensors as all replicas have it, with a new first axis; packed like `reduce`."""
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
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return tensors
    # variables that are read are on no device, and workers must know one
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, [tf.identity(x) for x in tensors])


def _cast(gradient, dtype):
    return with_values(gradient, tf.cast(values(gradient), dtype))


def _coalesced(gradient):
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    indices, position = tf.unique(gradient.indices)
    summed = tf.math.unsorted_segment_sum(gradient.values, position, tf.shape(indices)[0])
    return tf.IndexedSlices(summed, indices, gradient.dense_shape)


def run_if(predicate, fn, tensors, touched):
    """Runs `fn(tensors)` if `predicate`. The replicas may talk to each other in `fn`.

    A `tf.cond` inside a replica must not contain a point at which replicas wait for
    each other. So the branch is taken outside of them, once for all.
    """
    if _distribute.strategy_supports_no_merge_call():
        _cond(predicate, lambda: fn(tensors))
        return

    def merged(strategy, predicate, tensors):
        first = strategy.experimental_local_results(predicate)[0]
        _cond(first, lambda: strategy.extended.call_for_each_replica(fn, args=(tensors,)))

    tf.distribute.get_replica_context().merge_call(merged, args=(predicate, tensors))


def _cond(predicate, fn):
    def taken():
        fn()
        return True

    tf.cond(predicate, taken, lambda: False)


def unconverted(fn):
    """`fn` as it is written: AutoGraph need not read it inside somebody's `tf.function`."""
    return tf.autograph.experimental.do_not_convert(fn)


def outside_step(optimizer, fn):
    """A function that runs `fn` in every replica, between two steps."""
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


def copies(variable):
    """The values of a variable on all replicas, each a `tf.Variable`."""
    native = _native(variable)
    return list(getattr(native, "values", (native,)))


def number(variable):
    """The value of a scalar, which may be one for all replicas, as a Python number."""
    native = _native(variable)
    if hasattr(native, "values"):
        return native.read_value().numpy().item()
    # a fifth of the time of `read_value`, which matters in a callback
    return tf.raw_ops.ReadVariableOp(resource=native.handle, dtype=native.dtype).numpy().item()


def evaluator(model):
    """A function of a batch `(x, y, sample_weight)`: loss and outputs, as in evaluation."""

    def evaluate(x, y, sample_weight):
        outputs = model(x, training=False)
        return model.compute_loss(x, y, outputs, sample_weight, training=False), outputs

    return evaluate


def compiled_look(model, parts, watched):
    """A compiled function of a batch and of the weights before a step: how large all is.

    Args:
        model: A compiled model.
        parts: In how many equal parts the batch is cut; what is left over is left out.
        watched: Layers, by name, whose outputs are looked at.

    Returns:
        A function of `(x, y, sample_weight)` and a list of tensors. It returns squared norms, by
        variable, of the gradient of the loss as in evaluation (`gradient`), the weights
        (`weight`) and what was added to them (`moved`); the squared norm of the parts' gradients,
        on average (`part`); and for each watched layer that is not the model's output, a vector
        (`silent`): for each entry of the last axis whether it was 0 in the whole batch.
    """
    evaluate, variables = evaluator(model), [_native(v) for v in model.trainable_variables]

    def of_part(part):
        with tf.GradientTape() as tape, Recorded(watched) as recorded:
            loss, outputs = evaluate(*part)
        found = tape.gradient(loss, variables, unconnected_gradients="zero")
        found = [tf.convert_to_tensor(g) for g in found]
        silent = _silent(recorded, but=tf.nest.flatten(outputs))
        return found, tf.reduce_sum(_squares(found)), silent

    def add(a, b):
        both = [x + y for x, y in zip(a[0], b[0], strict=True)]
        return both, a[1] + b[1], {name: a[2][name] & b[2][name] for name in a[2]}

    @tf.function(autograph=False, reduce_retracing=True)
    def look(batch, before):
        size = tf.shape(tf.nest.flatten(batch[0])[0])[0] // parts

        def of(place):
            here = slice(place * size, (place + 1) * size)
            return of_part(tf.nest.map_structure(lambda x: x if x is None else x[here], batch))

        _, (gradient, part, silent) = tf.while_loop(
            lambda place, _: place < parts,
            lambda place, sums: (place + 1, add(sums, of(place))),
            (1, of(0)),
        )
        weights = [tf.convert_to_tensor(v) for v in variables]
        return {
            "gradient": _squares(gradient) / parts**2,
            "weight": _squares(weights),
            "moved": _squares([now - then for now, then in zip(weights, before, strict=True)]),
            "part": part / parts,
            "silent": silent,
        }

    return look


def _squares(tensors):
    """The squared norm of each."""
    return tf.stack([tf.cast(energy(_at_least_float32(x)), tf.float64) for x in tensors])


def _at_least_float32(x):
    return tf.cast(x, tf.float32) if x.dtype.size < 4 else x


def _silent(recorded, but):
    """Of each layer, in all its calls, the entries of the last axis that are 0 everywhere."""
    left_out = {id(x) for x in but}
    here = tf.compat.v1.get_default_graph()
    found: dict = {}
    for name, outputs in recorded:
        x = tf.nest.flatten(outputs)[0]  # what follows are the states of an RNN
        # What was called in a loop is not to be had outside of it.
        if id(x) not in left_out and x.graph is here:
            silent = tf.reduce_all(tf.equal(x, 0), axis=list(range(x.shape.rank - 1)))
            found[name] = found[name] & silent if name in found else silent
    return found


def compiled_curvature(model, iterations):
    """A compiled function of a batch: the Hessian's eigenvalue of largest size.

    `H v` is the gradient of the product of gradient and `v`.
    """
    evaluate, variables = evaluator(model), [_native(v) for v in model.trainable_variables]

    def product(batch, direction):
        """`v' H v` and `H v / |H v|`."""
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                loss, _ = evaluate(*batch)
            first = inner.gradient(loss, variables, unconnected_gradients="zero")
            along = tf.add_n([tf.reduce_sum(g * v) for g, v in zip(first, direction, strict=True)])
        second = outer.gradient(along, variables, unconnected_gradients="zero")
        second = [tf.convert_to_tensor(h) for h in second]
        along = tf.add_n([tf.reduce_sum(h * v) for h, v in zip(second, direction, strict=True)])
        norm = tf.linalg.global_norm(second)
        return along, [tf.math.divide_no_nan(h, norm) for h in second]

    @tf.function(autograph=False, reduce_retracing=True)
    def curvature(batch):
        chance = [
            tf.random.stateless_normal(v.shape, (0, place), dtype=v.dtype)
            for place, v in enumerate(variables)
        ]
        _, direction = tf.while_loop(
            lambda place, _: place < iterations,
            lambda place, direction: (place + 1, product(batch, direction)[1]),
            (0, chance),
        )
        return product(batch, direction)[0]

    return curvature
