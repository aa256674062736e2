"""The optimizers that train a model: the compiled one, and those among its attributes.

A model with a train step of its own, such as a GAN, keeps its optimizers in attributes that
Keras knows nothing of. Everything that `fit` does for one optimizer is done for all of them.
"""

import keras

from keras_gdx.integration.keras_optimizer import KerasOptimizer


def optimizers_of(model):
    """Returns the optimizers of a model, by name.

    Args:
        model: A Keras model.

    Returns:
        A dictionary: the compiled optimizer under `""`, and each other one under the name of the
        attribute that holds it; those in a list, tuple or dictionary with `_` and index or key.
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
    """Pairs of a key and an optimizer, for an attribute that is one, or contains several.

    Containers are told by their first entry: an attribute may also be a long list of examples.
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


def inside(optimizer):
    """An optimizer and those that it contains; not the rules that are parts of its own."""
    if optimizer is None:
        return
    yield optimizer
    for name in ("inner_optimizer", "inner", "outer"):
        if name not in getattr(optimizer, "parts", ()):
            yield from inside(getattr(optimizer, name, None))
    for each in getattr(optimizer, "optimizers", ()):
        yield from inside(each)


def all_optimizers(model):
    """All optimizers of a model, and those that they contain, each once."""
    found = (x for optimizer in optimizers_of(model).values() for x in inside(optimizer))
    return list({id(x): x for x in found}.values())


def ours(model):
    """Those of a model's optimizers that are of this package."""
    return [x for x in all_optimizers(model) if isinstance(x, KerasOptimizer)]


def moved_by(optimizer):
    """The variables that an optimizer was built for; none if it is not built."""
    usual = getattr(optimizer, "_trainable_variables", ())
    return [*(getattr(optimizer, "built_with", ()) or usual)]


def keras_accumulators(model):
    """The variables in which Keras' own optimizers add up gradients."""
    for optimizer in all_optimizers(model):
        yield from getattr(optimizer, "_accumulated_gradients", ())


def window(optimizer):
    """How many micro-batches an optimizer makes one update of."""
    return max(getattr(x, "gradient_accumulation_steps", None) or 1 for x in inside(optimizer))
