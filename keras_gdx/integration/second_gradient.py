"""A train step that applies the gradient at other weights, near those that it updates.

The model's own step runs twice on the same batch, with its gradients held. In between, the weights
are moved by what an `ascent` returns for the first gradient. The first run determines the logs,
metrics and all other state of the model. The second begins with the state that the first one began
with, so random layers draw the same numbers, and leaves none behind. With `ascent.k` > 1 there is a
second run only now and then, and the other steps reuse what `kept_direction` has of it.
"""

import functools
from contextlib import contextmanager

import keras
import tensorflow as tf

from keras_gdx.backends import backend
from keras_gdx.backends.tensorflow import unconverted
from keras_gdx.engine.state.state import is_overwritten, widest
from keras_gdx.integration.held_gradients import apply_held, holding, make_holdable
from keras_gdx.integration.kept_direction import KeptDirection, direction_of
from keras_gdx.integration.model_attributes import ascent_of
from keras_gdx.integration.model_hooks import ASCENT
from keras_gdx.integration.model_optimizers import moved_by, optimizers_of
from keras_gdx.integration.reused_gradient import reused


def install(model, ascent):
    """Makes the train steps of a model take a second gradient.

    Args:
        model: Keras model. A later call replaces the ascent.
        ascent: `Ascent`, which says how to move the weights. `None` for the usual step.
    """
    own = vars(model)
    if "_keras_gdx_ascent" not in own:
        own["train_step"] = _with_second_gradient(model, model.train_step)
        own["get_compile_config"] = _remembering(model, model.get_compile_config)
    own["_keras_gdx_ascent"] = ascent
    with model.distribute_strategy.scope():
        own["_keras_gdx_direction"] = KeptDirection() if ascent and ascent.k > 1 else None
    model.train_function = None  # has the old one compiled in


def _remembering(model, method):
    @functools.wraps(method)
    def get_compile_config():
        config = method()
        if config and (ascent := ascent_of(model)):
            config[ASCENT] = keras.saving.serialize_keras_object(ascent)
        return config

    return get_compile_config


def _with_second_gradient(model, step):
    @unconverted
    @functools.wraps(step)
    def train_step(*args, **kwargs):
        ascent = ascent_of(model)
        if ascent is None:
            return step(*args, **kwargs)
        for optimizer in optimizers_of(model).values():
            make_holdable(optimizer)
        before = _values(_state_of(model))
        logs, held = _held(model, lambda: step(*args, **kwargs))
        if held is None:  # all weights are frozen
            return logs
        optimizer, gradients, variables = held
        both = enumerate(zip(variables, gradients, strict=True))
        moved = [i for i, (v, g) in both if g is not None and not is_overwritten(v)]
        weights, first = [variables[i] for i in moved], [gradients[i] for i in moved]
        common = (backend.own if ascent.per_replica else backend.reduce)(first)

        def second():
            """The gradients at the moved weights; nothing else is changed."""
            after = _values(_state_of(model))
            _assign(before)
            with _moved(ascent, weights, common):
                _, (_, found, _) = _held(model, lambda: step(*args, **kwargs))
            _assign(after)
            return [found[i] for i in moved]

        if (kept := direction_of(model)) is None:
            found = second()
        else:
            kept.cover(variables)
            found = reused(kept, ascent, weights, first, common, second)
        for i, gradient in zip(moved, found, strict=True):
            gradients[i] = gradient
        apply_held(optimizer, gradients, variables)
        return logs

    return train_step


def _held(model, step):
    """The logs of a step, and its optimizer, gradients and variables, or `None` without these."""
    with holding() as held:
        logs = step()
    if not held and not model.trainable_variables:
        return logs, None
    if len(held) != 1:
        raise ValueError(
            "A second gradient needs a `train_step` that applies the gradients of one optimizer, "
            f"once. That of {type(model).__name__} applies gradients {len(held)} times."
        )
    [(optimizer, gradients, variables)] = held
    return logs, (optimizer, [*gradients], [*(variables or moved_by(optimizer))])


def _state_of(model):
    """What a step changes besides the trained weights: statistics, metrics and random states."""
    return [*model.non_trainable_variables, *model.metrics_variables]


def _values(variables):
    return [(v, backend.snapshot(v.value)) for v in variables]


def _assign(values):
    for variable, value in values:
        variable.assign(value)


@contextmanager
def _moved(ascent, variables, gradients):
    """Context in which the weights are moved; afterwards they are what they were, bit for bit."""
    places = [(v, backend.rows(g)) for v, g in zip(variables, gradients, strict=True)]
    old = [_read(*place) for place in places]
    dtype = widest(variables)
    steps = ascent.steps(
        [tf.cast(backend.values(g), dtype) for g in gradients], [tf.cast(w, dtype) for w in old]
    )
    try:
        for place, w, step in zip(places, old, steps, strict=True):
            _write(*place, tf.cast(tf.cast(w, dtype) + step, w.dtype))
        yield
    finally:
        for place, w in zip(places, old, strict=True):
            _write(*place, w)


def _read(variable, rows):
    """The value of a variable; of one with a sparse gradient, the rows that this has."""
    if rows is None:
        return backend.snapshot(variable)
    return backend.read_rows(variable, rows, variable.dtype)


def _write(variable, rows, value):
    if rows is None:
        variable.assign(value)
    else:
        backend.write_rows(variable, rows, value)
