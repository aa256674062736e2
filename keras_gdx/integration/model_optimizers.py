"""The optimizers that train a model: the compiled one, and those in its attributes.

A model with a custom train step, such as a GAN, keeps its optimizers in attributes unknown to
Keras. What `fit` does for the compiled optimizer is done for these too.
"""

import keras

from keras_gdx.arguments import is_schedule
from keras_gdx.integration.keras_optimizer import KerasOptimizer


def optimizers_of(model):
    """Returns the optimizers of a model, by name.

    Args:
        model: A Keras model.

    Returns:
        A dictionary: the compiled optimizer under `""`, each other one under the name of its
        attribute. In a list, tuple or dictionary, `_` and the index or key are appended.
    """
    compiled = getattr(model, "optimizer", None)
    found = {} if compiled is None else {"": compiled}
    known = {id(compiled)}
    for attribute, value in vars(model).items():
        for key, optimizer in _optimizers_in(value):
            if id(optimizer) not in known:
                known.add(id(optimizer))
                found[attribute.lstrip("_") + key] = optimizer
    return found


def _optimizers_in(value):
    """Pairs of a key and an optimizer, for an attribute that is one or contains several.

    Only the first entry of a container is checked: an attribute may be a long list of examples.
    """
    if isinstance(value, keras.optimizers.Optimizer):
        yield "", value
    elif isinstance(value, dict) and _begins_with_optimizer(value.values()):
        yield from ((f"_{key}", each) for key, each in value.items() if _is_optimizer(each))
    elif isinstance(value, (list, tuple)) and _begins_with_optimizer(value):
        yield from ((f"_{i}", each) for i, each in enumerate(value) if _is_optimizer(each))


def _begins_with_optimizer(values):
    return _is_optimizer(next(iter(values), None))


def _is_optimizer(value):
    return isinstance(value, keras.optimizers.Optimizer)


def wrapped(optimizer):
    """The optimizers with a state of their own that this one wraps, by attribute."""
    parts = getattr(optimizer, "parts", ())
    names = (name for name in ("inner_optimizer", "inner", "outer") if name not in parts)
    found = {name: getattr(optimizer, name, None) for name in names}
    return {name: each for name, each in found.items() if each is not None}


def inside(optimizer):
    """An optimizer and those that it contains, except the rules that are its own parts."""
    if optimizer is None:
        return
    yield optimizer
    for each in (*wrapped(optimizer).values(), *getattr(optimizer, "optimizers", ())):
        yield from inside(each)


def layers_of(optimizer):
    """An optimizer, the one inside it, and so on, outermost first; parts count as inside."""
    inner = getattr(optimizer, "inner_optimizer", None) or getattr(optimizer, "inner", None)
    return [optimizer, *(layers_of(inner) if inner else ())]


def all_optimizers(model):
    """All optimizers of a model and those that they contain, each once."""
    found = (x for optimizer in optimizers_of(model).values() for x in inside(optimizer))
    return list({id(x): x for x in found}.values())


def ours(model):
    """The optimizers of a model that belong to this package."""
    return [x for x in all_optimizers(model) if isinstance(x, KerasOptimizer)]


def course_of(optimizer):
    """The learning rate as a function of the update index; `None` if it follows no schedule."""
    rate = getattr(optimizer, "_learning_rate", None)
    if not is_schedule(rate):
        return None
    if isinstance(optimizer, KerasOptimizer):
        return optimizer.rate_at
    return lambda t: rate(t * window(optimizer))  # Keras' schedules count micro-batches


def moved_by(optimizer):
    """The variables that an optimizer was built with; none if it is not built."""
    usual = getattr(optimizer, "_trainable_variables", ())
    return [*(getattr(optimizer, "built_with", ()) or usual)]


def keras_accumulators(model):
    """The variables in which Keras' own optimizers accumulate gradients."""
    for optimizer in all_optimizers(model):
        yield from getattr(optimizer, "_accumulated_gradients", ())


def keras_averages(model):
    """Pairs of a variable and its moving average in one of Keras' own optimizers."""
    for each in all_optimizers(model):
        theirs = not isinstance(each, KerasOptimizer) and getattr(each, "use_ema", False)
        if theirs and each.built:
            yield from zip(moved_by(each), each._model_variables_moving_average, strict=True)


def window(optimizer):
    """The number of micro-batches per update of an optimizer."""
    return max(getattr(x, "gradient_accumulation_steps", None) or 1 for x in inside(optimizer))
