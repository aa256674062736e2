"""The variables that a model holds without Keras knowing them as its own.

Keras tracks layers, metrics and variables in attributes of a model, and lists of them. It does not
track a `tf.Variable`, a helper object of the user's, or what these hold.
"""

import keras

from keras_gdx.integration.model_optimizers import all_optimizers

FOREIGN = ("builtins", "functools", "keras", "keras_gdx", "numpy", "tensorflow")  # not looked into
TABLES = ("MutableHashTable", "DenseHashTable")


def held_variables(model):
    """The variables reachable from a model that neither it nor its optimizers or metrics list.

    Raises:
        ValueError: If one has contents that cannot be saved; the message has its name.
    """
    known = [*model.variables]
    for owner in (*all_optimizers(model), *model.metrics):
        known += owner.variables
    seen = {id(variable) for variable in known}
    found, left = [], [("model", model)]
    while left:
        name, value = left.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if type(value).__name__ in TABLES:
            raise ValueError(
                f"`{name}` is a {type(value).__name__}, whose entries are not variables and cannot "
                "be saved. Keep what training changes in variables."
            )
        if _is_variable(value):
            found.append(value)
        else:
            left += [(f"{name}.{key}", each) for key, each in reversed(_inside(value))]
    return found


def _inside(value):
    """Pairs of a name and a value, for what an object of Keras or the user holds."""
    if isinstance(value, keras.optimizers.Optimizer):
        return [(v.name, v) for v in value.variables]
    if isinstance(value, dict):
        return [*value.items()] if _begins_with_object(value.values()) else []
    if isinstance(value, (list, tuple)):
        return [*enumerate(value)] if _begins_with_object(value) else []
    attributes = vars(value).items() if _is_looked_into(value) else ()
    return sorted(attributes, key=lambda pair: pair[0].startswith("_"))  # names of the user's first


def _begins_with_object(values):
    """Whether a container is looked into: it may also be a long list of examples."""
    first = next(iter(values), None)
    return _is_variable(first) or isinstance(first, (dict, list, tuple)) or _is_looked_into(first)


def _is_variable(value):
    return hasattr(value, "assign") and hasattr(value, "shape") and hasattr(value, "dtype")


def _is_looked_into(value):
    if isinstance(value, (keras.Layer, keras.metrics.Metric, keras.losses.Loss)):
        return True
    if isinstance(value, (keras.random.SeedGenerator, keras.optimizers.Optimizer)):
        return True
    own = type(value).__module__.partition(".")[0] not in FOREIGN and not isinstance(value, type)
    generator = type(value).__name__ == "Generator" and hasattr(value, "make_seeds")
    return hasattr(value, "__dict__") and (own or generator)
