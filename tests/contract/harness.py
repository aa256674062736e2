"""A small model written by hand, trained in a plain loop, with one variable of each kind."""

import keras
import numpy as np
import tensorflow as tf

SHAPES = {"kernel": (4, 8), "bias": (8,), "convolution": (2, 2, 2, 2), "gain": ()}
GLOBAL_BATCH = 16


def batches(count, size=GLOBAL_BATCH):
    """Batches whose halves differ strongly: equal halves would hide errors of replicas."""
    rng = np.random.default_rng(0)
    scale = np.where(np.arange(size) < size // 2, 1.0, 3.0)[:, None]
    for _ in range(count):
        x = (scale * rng.normal(size=(size, 4))).astype("float32")
        yield x, rng.normal(size=(size, 1)).astype("float32")


def variables(dtype="float32"):
    rng = np.random.default_rng(1)
    return [
        keras.Variable(rng.normal(size=shape).astype("float32"), dtype=dtype, name=name)
        for name, shape in SHAPES.items()
    ]


def loss(model, x, y):
    kernel, bias, convolution, gain = (tf.cast(v, "float32") for v in model)
    hidden = tf.tanh(x @ kernel + bias)
    hidden = (
        hidden * tf.reshape(convolution, (1, 16))[:, :8] + tf.reshape(convolution, (1, 16))[:, 8:]
    )
    return tf.reduce_sum((gain * tf.reduce_sum(hidden, 1, keepdims=True) - y) ** 2)


class Run:
    """Trains variables with an optimizer, one batch at a time.

    Args:
        make: Function that returns the optimizer.
        strategy: A `tf.distribute.Strategy`, or `None`.
        mode: `"graph"`, `"xla"` or `"eager"`.
        size: Number of examples in a batch, by which the loss is divided.
    """

    variables = staticmethod(variables)
    loss = staticmethod(loss)

    def __init__(self, make, strategy=None, mode="graph", size=GLOBAL_BATCH, dtype="float32"):
        self.strategy = strategy or tf.distribute.get_strategy()
        self.traces = 0
        with self.strategy.scope():
            self.model = self.variables(dtype)
            self.optimizer = make()
            self.optimizer.build(self.model)
        self.start = self.weights()

        def replica(x, y):
            with tf.GradientTape() as tape:
                tape.watch([v.value for v in self.model])
                value = self.optimizer.scale_loss(self.loss(self.model, x, y) / size)
            grads = tape.gradient(value, [v.value for v in self.model])
            self.optimizer.apply_gradients(zip(grads, self.model, strict=True))

        def step(x, y):
            self.traces += 1
            self.strategy.run(replica, args=(x, y))

        self.step = step if mode == "eager" else tf.function(step, jit_compile=mode == "xla")

    def train(self, data):
        for x, y in data:
            self.step(self._split(x), self._split(y))
        return self

    def _split(self, array):
        n = self.strategy.num_replicas_in_sync
        if n == 1:
            return tf.constant(array)
        parts = np.split(array, n)
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(parts[context.replica_id_in_sync_group])
        )

    def weights(self):
        return np.concatenate([np.asarray(v.numpy(), "float64").ravel() for v in self.model])

    def state(self):
        return [np.asarray(v.numpy()) for v in self.optimizer.variables]


def collectives(run, batch):
    """The collective operations of a step: those outside of any branch, and those inside."""
    graph = run.step.get_concrete_function(*(run._split(x) for x in batch)).graph
    outside, *inside = (
        [op for op in g.get_operations() if op.type.startswith("Collective")]
        for g in _graphs(graph)
    )
    return outside, [op for ops in inside for op in ops]


def _graphs(graph):
    yield graph
    for function in graph._functions.values():
        yield from _graphs(function.graph if hasattr(function, "graph") else function)


START = np.concatenate([v.numpy().ravel() for v in variables()])


def assert_same(a, b, atol=2e-6, rtol=2e-5):
    """Both runs have changed the weights, and equally."""
    assert np.abs(b.weights() - b.start).max() > 1e-3, "nothing moved, so nothing was compared"
    np.testing.assert_allclose(a.weights(), b.weights(), atol=atol, rtol=rtol)
