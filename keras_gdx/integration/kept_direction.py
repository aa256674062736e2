"""What a model keeps of its last second gradient, for the steps until the next one."""

import keras

from keras_gdx.backends import backend
from keras_gdx.engine.state.state import is_overwritten, wide
from keras_gdx.engine.variables.structure import path_of
from keras_gdx.integration.model_optimizers import all_optimizers, moved_by


class KeptDirection:
    """A direction in the space of a model's weights, in variables that are not the model's.

    Attributes:
        age: The number of steps since the last second gradient, from 1 on, in a variable; 0 if the
            next step is to take one.
    """

    def __init__(self):
        self.age = _zeros((), "int32", "age")
        self._parts: dict = {}  # pairs of a weight's variable and its part, by the first's `id`

    @property
    def variables(self):
        """All variables that exist by now."""
        return [self.age, *(part for _, part in self._parts.values())]

    def cover(self, weights):
        """Creates the direction's parts for those of the weights that have none yet."""
        for weight in weights:
            native = _native(weight)
            if id(native) not in self._parts and not is_overwritten(weight):
                part = _zeros(weight.shape, wide(weight), path_of(weight))
                self._parts[id(native)] = native, part

    def parts(self, weights):
        """The variables that hold the direction's parts, one for each of the weights."""
        return [self._parts[id(_native(weight))][1] for weight in weights]


def _native(weight):
    """What stays the same object, however the weight is wrapped."""
    return backend.copies(weight)[0]


def _zeros(shape, dtype, name):
    with backend.outside_graph(), keras.name_scope("second_gradient"):
        name = name.replace("/", "_").replace(":", "_")
        return keras.Variable("zeros", shape, dtype, trainable=False, name=name)


def direction_of(model):
    """The `KeptDirection` of a model, or `None` if its steps have nothing to reuse."""
    return vars(model).get("_keras_gdx_direction")


def build(model):
    """Creates the direction for all weights that the model's optimizers were built with."""
    if (kept := direction_of(model)) is not None:
        with model.distribute_strategy.scope():
            for optimizer in all_optimizers(model):
                kept.cover(moved_by(optimizer))


def forget(model):
    """Lets the next step take a second gradient."""
    if (kept := direction_of(model)) is not None:
        kept.age.assign(0)


def direction_variables(model):
    """The variables of a model's direction, which it does not list itself."""
    kept = direction_of(model)
    return [] if kept is None else kept.variables
