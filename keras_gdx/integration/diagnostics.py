"""Measures a model during training: gradients, silent units, curvature."""

import tensorflow as tf

from keras_gdx.backends.tensorflow.gradients import native_of
from keras_gdx.backends.tensorflow.programs import energy
from keras_gdx.engine.variables.structure import Recorded


def evaluator(model):
    """Returns a function of a batch `(x, y, sample_weight)`: loss and outputs in inference mode."""

    def evaluate(x, y, sample_weight):
        outputs = model(x, training=False)
        return model.compute_loss(x, y, outputs, sample_weight, training=False), outputs

    return evaluate


def compiled_measurement(model, parts, watched):
    """Returns a compiled function that measures gradients, weights, updates and silent units.

    Args:
        model: A compiled model.
        parts: Number of equal parts into which the batch is split; a remainder is dropped.
        watched: Layers, by name, whose outputs are measured.

    Returns:
        A function of `(x, y, sample_weight)` and the list of weights before a step. It returns
        squared norms per variable: of the gradient of the loss in inference mode (`gradient`), of
        the weights (`weight`) and of their change (`moved`). `part` is the squared norm of the
        gradient of one part, averaged over the parts. `silent` has a vector for each watched layer
        that is not the model's output: for each entry of the last axis, whether it was 0 in the
        whole batch.
    """
    evaluate, variables = evaluator(model), [native_of(v) for v in model.trainable_variables]

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
    def measure(batch, before):
        size = tf.shape(tf.nest.flatten(batch[0])[0])[0] // parts

        def of(index):
            here = slice(index * size, (index + 1) * size)
            return of_part(tf.nest.map_structure(lambda x: x if x is None else x[here], batch))

        _, (gradient, part, silent) = tf.while_loop(
            lambda index, _: index < parts,
            lambda index, total: (index + 1, add(total, of(index))),
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

    return measure


def _squares(tensors):
    """The squared norm of each tensor."""
    return tf.stack([tf.cast(energy(_at_least_float32(x)), tf.float64) for x in tensors])


def _at_least_float32(x):
    return tf.cast(x, tf.float32) if x.dtype.size < 4 else x


def _silent(recorded, but):
    """For each layer, over all its calls, the entries of the last axis that are 0 everywhere."""
    left_out = {id(x) for x in but}
    here = tf.compat.v1.get_default_graph()
    found: dict = {}
    for name, outputs in recorded:
        x = tf.nest.flatten(outputs)[0]  # for an RNN, its states follow
        # Tensors made inside a loop are not available outside of it.
        if id(x) not in left_out and x.graph is here:
            silent = tf.reduce_all(tf.equal(x, 0), axis=list(range(x.shape.rank - 1)))
            found[name] = found[name] & silent if name in found else silent
    return found


def compiled_curvature(model, iterations):
    """Returns a compiled function of a batch: the Hessian's eigenvalue of largest magnitude.

    Uses power iteration. `H v` is the gradient of the dot product of the gradient and `v`.
    """
    evaluate, variables = evaluator(model), [native_of(v) for v in model.trainable_variables]

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
            tf.random.stateless_normal(v.shape, (0, index), dtype=v.dtype)
            for index, v in enumerate(variables)
        ]
        _, direction = tf.while_loop(
            lambda index, _: index < iterations,
            lambda index, direction: (index + 1, product(batch, direction)[1]),
            (0, chance),
        )
        return product(batch, direction)[0]

    return curvature
