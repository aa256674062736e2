"""What a model keeps of its last second gradient, for the steps until the next one."""

import keras

from keras_gdx.backends import backend
from keras_gdx.engine.state.state import wide
from keras_gdx.engine.variables.structure import path_of
from keras_gdx.integration.model_optimizers import moved_by, optimizers_of


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

    def parts(self, weights):
        """The variables that hold the direction's parts, one for each of the weights."""
        found = []
        for weight in weights:
            native = backend.copies(weight)[0]
            if id(native) not in self._parts:
                part = _zeros(weight.shape, wide(weight), path_of(weight))
                self._parts[id(native)] = native, part
            found.append(self._parts[id(native)][1])
        return found


def _zeros(shape, dtype, name):
    with backend.outside_graph(), keras.name_scope("second_gradient"):
        name = name.replace("/", "_").replace(":", "_")
        return keras.Variable("zeros", shape, dtype, trainable=False, name=name)


def direction_of(model):
    """The `KeptDirection` of a model, or `None` if it takes two gradients in each step, or one."""
    return vars(model).get("_keras_gdx_direction")


def build(model):
    """Creates the parts for all weights that the model's optimizers were built with."""
    if (kept := direction_of(model)) is not None:
        with model.distribute_strategy.scope():
            for optimizer in optimizers_of(model).values():
                kept.parts(moved_by(optimizer))
