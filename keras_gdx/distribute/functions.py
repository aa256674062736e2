"""The functions that `fit`, `evaluate` and `predict` call, for several replicas.

Keras' own functions nest a compiled function in a branch, where collectives cannot run, give XLA
the devices of all replicas, and reduce logs in ways that several workers do not support. Here
every replica computes its share of the batch and runs Keras' step, and the logs are averaged.
"""

import keras
import tensorflow as tf

from keras_gdx.backends.tensorflow import unconverted
from keras_gdx.distribute.batch_share import BatchShare, NeedsCommunicationError
from keras_gdx.distribute.statistics import unless_empty
from keras_gdx.integration.held_gradients import apply_held
from keras_gdx.integration.model_building import spec_of, symbolic

VOTES = "_votes"


def is_multi_worker(strategy):
    """Whether the strategy trains with several processes."""
    return strategy.extended._in_multi_worker_mode()


def build(model, iterator=None, data_batch=None):
    """Creates the variables of a model from the shapes of a batch.

    Keras reads a batch for this, which a Python generator does not have a second time.
    """
    strategy = model.distribute_strategy
    if iterator is not None:
        spec = spec_of(iterator)
        if all(hasattr(each, "shape") for each in keras.tree.flatten(spec)):
            data_batch = symbolic(spec)
        else:  # distributed already, and can be read again
            for _, _, batches in iterator:
                data_batch = next(batches)
                break
    with strategy.scope():
        model._symbolic_build(
            data_batch=keras.tree.map_structure(
                lambda x: strategy.experimental_local_results(x)[0], data_batch
            )
        )


def function_of(model, step, votes=()):
    """A function of an iterator that runs `step` on every replica and returns the mean logs.

    Args:
        model: The model.
        step: The model's `train_step`, `test_step` or `predict_step`.
        votes: Vector variables local to each worker; the logs have their means at `VOTES`.
    """
    strategy = model.distribute_strategy
    trains = step == model.train_step
    # A custom `train_step` may read what the optimizer changed, so updates cannot be deferred.
    own = type(model).train_step is not keras.Model.train_step
    compiles = model.jit_compile and not model.run_eagerly and not own

    def in_share(share, data):
        return compiled(model, share, step, data) if compiles else step(data)

    def in_replica(data):
        data = copied(data)
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        share = BatchShare(x, by_gradient=trains and own)
        with share.entered():
            if share.even or not trains:
                logs = in_share(share, data)
            else:
                logs = unless_empty(model, share.size, lambda: in_share(share, data))
        if trains and not share.scaled:
            raise ValueError(
                f"The train_step of {type(model).__name__} computes its loss with neither "
                "self.compute_loss nor a keras.losses.Loss, so it may be a mean or a sum over "
                "the examples. Use one of the two for the means."
            )
        if is_multi_worker(strategy):
            return together(share, logs, votes)
        return logs

    def one_step(data):
        logs = strategy.run(in_replica, args=(data,))
        return keras.tree.map_structure(lambda v: local_mean(strategy, v), logs)

    @unconverted
    def execution(iterator):
        logs = one_step(iterator.get_next())
        if model.steps_per_execution == 1:
            return logs
        structure, flat = logs, keras.tree.flatten(logs)

        def body(count, flat):
            batch = iterator.get_next_as_optional()

            def another():
                return count + 1, keras.tree.flatten(one_step(batch.get_value()))

            return tf.cond(
                batch.has_value(), another, lambda: (tf.constant(model.steps_per_execution), flat)
            )

        _, flat = tf.while_loop(
            lambda count, _: count < model.steps_per_execution, body, (tf.constant(1), flat)
        )
        return keras.tree.pack_sequence_as(structure, flat)

    one = model._autoconvert_optionals(unconverted(one_step))
    if not model.run_eagerly:
        execution = tf.function(execution, reduce_retracing=True)
        one = tf.function(one, reduce_retracing=True)

    def function(iterator):
        if isinstance(iterator, (tf.data.Iterator, tf.distribute.DistributedIterator)):
            return execution(iterator)
        for _, data in zip(range(model.steps_per_execution), iterator, strict=False):
            logs = one(data)
        return logs

    return function


def copied(data):
    """A replica's part of a batch in memory of its own.

    A batch from Python is NumPy's memory, of which a replica on a processor gets a slice.
    TensorFlow takes that for its own, and may put a result there: over the user's data.
    """
    devices = tf.distribute.get_strategy().extended.worker_devices
    if not all("CPU" in device for device in devices):  # it was copied to get there
        return data
    return tf.nest.map_structure(
        lambda x: x if x is None else tf.raw_ops.DeepCopy(x=x), data, expand_composites=True
    )


def compiled(model, share, step, data):
    """Runs the step with forward and backward pass compiled by XLA, if they need no collectives.

    They need collectives for masks, losses that return a scalar, and `mean_with_sample_weight`.
    """
    waiting: list = []

    @tf.function(jit_compile=True, autograph=False)
    def forward_and_backward(data):
        with share.holding() as held:
            logs = step(data)
        waiting[:] = [(optimizer, variables) for optimizer, _, variables in held]
        return logs, [gradients for _, gradients, _ in held]

    try:
        forward_and_backward.get_concrete_function(data)
    except NeedsCommunicationError:
        return step(data)
    logs, held = forward_and_backward(data)
    for gradients, (optimizer, variables) in zip(held, waiting, strict=True):
        apply_held(optimizer, gradients, variables)
    return logs


def together(share, logs, votes):
    """The means of logs and votes over all replicas of all workers, in a single reduction."""
    logs = dict(logs) | {VOTES: list(votes)} if votes else logs
    values = [tf.convert_to_tensor(v) for v in keras.tree.flatten(logs)]
    joined = tf.concat([tf.reshape(tf.cast(v, "float64"), [-1]) for v in values], axis=0)
    joined = share.total(joined) / share.replicas
    parts = tf.split(joined, [tf.size(v) for v in values])
    means = [
        tf.cast(tf.reshape(x, tf.shape(v)), v.dtype) for x, v in zip(parts, values, strict=True)
    ]
    return keras.tree.pack_sequence_as(logs, means)


def local_mean(strategy, value):
    """The mean over the replicas of this process."""
    values = strategy.experimental_local_results(value)
    return values[0] if len(values) == 1 else tf.reduce_mean(tf.stack(values), axis=0)
