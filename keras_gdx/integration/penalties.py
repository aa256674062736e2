"""Penalties on derivatives with respect to the inputs of a train step, on TensorFlow.

Such a penalty is called within `compute_loss`, which Keras' train step calls for its loss. It
receives the batch as a `Step`.
"""

import functools
import inspect
from contextlib import contextmanager

import keras
import tensorflow as tf
from keras import ops
from keras.src.losses import loss as keras_loss  # scales sums over replicas

from keras_gdx.arguments import check
from keras_gdx.backends.tensorflow import unconverted
from keras_gdx.integration.model_optimizers import all_optimizers

STRIDE = 1 << 16  # more than the number of replicas


def install(model):
    """Adds penalties to a model's train steps: `compute_loss.penalties` holds them by kind."""
    method, step = model.compute_loss, model.train_step
    signature = inspect.signature(method)
    check(
        signature.parameters.keys() >= {"x", "y", "sample_weight", "training"},
        "model",
        model,
        "one whose `compute_loss` takes `x`, `y`, `y_pred`, `sample_weight` and `training`",
    )
    penalties: dict = {}
    asked: set = set()

    @functools.wraps(method)
    def compute_loss(*args, **kwargs):
        loss = method(*args, **kwargs)
        call = signature.bind(*args, **kwargs)
        call.apply_defaults()
        given = call.arguments
        if not given["training"]:
            return loss
        asked.add(True)
        for penalty in penalties.values():
            if hasattr(penalty, "follow"):
                penalty.follow(model.optimizer)
            batch = Step(model, method, given["x"], given["y"], given["sample_weight"])
            value = keras_loss.scale_loss_for_distribution(penalty(batch))
            loss = loss + tf.cast(value, loss.dtype)
        return loss

    @unconverted
    @functools.wraps(step)
    def train_step(*args, **kwargs):
        logs = step(*args, **kwargs)
        if penalties and not asked:
            names = ", ".join(type(penalty).__name__ for penalty in penalties.values())
            raise ValueError(
                f"{names} cannot be applied: the `train_step` of {type(model).__name__} does not "
                "call `compute_loss(x, y, y_pred, sample_weight, training=True)`."
            )
        return logs

    vars(compute_loss)["penalties"] = penalties
    vars(model)["compute_loss"] = compute_loss
    vars(model)["train_step"] = train_step


class Step:
    """One batch of a train step, for a second forward pass in inference mode.

    The second pass updates no metrics and no random states.

    Args:
        model: The model.
        loss: Its `compute_loss`, without these penalties.
        x: Inputs.
        y: Targets.
        sample_weight: Weights of the examples, or `None`.
    """

    def __init__(self, model, loss, x, y, sample_weight):
        x = keras.tree.map_structure(lambda a: a if a is None else ops.convert_to_tensor(a), x)
        flat = keras.tree.flatten(x)
        self._inputs = [a for a in flat if isinstance(a, tf.Tensor) and a.dtype.is_floating]
        if not self._inputs:
            found = ", ".join(str(getattr(a, "dtype", a)) for a in flat)
            raise ValueError(
                "A penalty on derivatives with respect to the inputs needs a floating-point "
                f"input `x` in `compute_loss`. Received: x of {found}"
            )
        self.model = model
        self.size = tf.shape(self._inputs[0])[0]
        self._loss = loss
        self._x, self._y, self._weights = x, y, sample_weight

    def mean(self, values):
        """The mean of one number per example."""
        return tf.reduce_sum(values) / tf.cast(tf.maximum(self.size, 1), values.dtype)

    def by_loss(self):
        """Per example, the squared norm of the gradient of its loss with respect to its inputs."""
        for each in keras.tree.flatten(self.model.loss):
            reduction = getattr(each, "reduction", "sum_over_batch_size")
            if reduction in (None, "none", "sum"):
                raise ValueError(
                    "The loss must be a mean over the examples, with a gradient for each. "
                    f"Received: loss={each!r} with reduction={reduction!r}"
                )
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._inputs)
            with self._aside():
                outputs = self.model(self._x, training=False)
                loss = self._loss(self._x, self._y, outputs, self._weights, training=True)
            mean = keras_loss.unscale_loss_for_distribution(loss)
            total = mean * tf.cast(self.size, mean.dtype)
        return self._squares(tape.gradient(total, self._inputs))

    def by_outputs(self, directions):
        """The squared norms of `v' J`, where `J` is an example's Jacobian of outputs by inputs.

        Args:
            directions: Function of the number of examples and the number of outputs, a tensor if
                unknown. Returns tensors `v` of this shape.

        Returns:
            A tensor (directions, examples).
        """
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(self._inputs)
            with self._aside():
                outputs = keras.tree.flatten(self.model(self._x, training=False))
            joined = tf.concat([self._rows(_wide(a)) for a in outputs], axis=1)
        count = joined.shape[1] or tf.shape(joined)[1]
        vectors = directions(self.size, count)
        return tf.stack(
            [
                self._squares(tape.gradient(joined, self._inputs, tf.cast(v, joined.dtype)))
                for v in vectors
            ]
        )

    def normal(self, shape):
        """Normal random numbers, determined by the update, the micro-batch and the replica."""
        updates, stream = 0, tf.distribute.get_replica_context().replica_id_in_sync_group
        for optimizer in all_optimizers(self.model):
            updates += tf.cast(optimizer._iterations, tf.int32)
            summed = getattr(getattr(optimizer, "state", None), "count", None)
            if summed is not None:  # the micro-batches in the open window
                stream += STRIDE * tf.cast(summed, tf.int32)
        seed = tf.stack([stream, updates])
        return tf.random.stateless_normal(shape, seed, alg="philox")

    @contextmanager
    def _aside(self):
        """A scope in which nothing is written. Keras' weight penalties read from it."""
        penalized = [v for v in self.model.trainable_variables if v.regularizer is not None]
        with keras.StatelessScope([(v, v.value) for v in penalized]) as scope:
            if scope.original_scope is not None:  # where weights have other values than their own
                scope.state_mapping.update(scope.original_scope.state_mapping)
            yield

    def _squares(self, gradients):
        found = [_wide(g) for g in gradients if g is not None]
        if not found:
            raise ValueError(
                "A penalty on derivatives with respect to the inputs found none: the outputs "
                "are not a differentiable function of `x` (with an `Embedding` they never are)."
            )
        return sum(tf.reduce_sum(tf.square(self._rows(g)), axis=1) for g in found)

    def _rows(self, tensor):
        width = tensor.shape[1:].num_elements()
        return tf.reshape(tensor, (self.size, -1 if width is None else width))


def _wide(tensor):
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return tf.cast(tensor, keras.backend.result_type(dtype, "float32"))
