"""Statistics over the whole model that a rule may need, such as DoG's distance."""

from keras import ops

from keras_gdx.backends import backend
from keras_gdx.engine.clipping import scaled
from keras_gdx.engine.state.state import wide


def global_stats(optimizer, h, tasks, factors):
    """Calls the rule's `global_stats`: returns its results by name, and writes its shared state."""
    model = ModelView(optimizer, h, tasks, factors)
    shared = optimizer.state.shared.values()
    found, *new = optimizer.global_stats(h, model, *(ops.convert_to_tensor(v) for v in shared))
    for variable, value in zip(shared, new, strict=True):
        variable.assign(ops.cast(value, variable.dtype))
    return found


class ModelView:
    """What a rule can read in `global_stats`; each attribute is computed on access.

    A variable without a gradient has a gradient of 0.
    """

    def __init__(self, optimizer, h, tasks, factors):
        self._optimizer = optimizer
        self._h = h
        self._reduced = {
            id(task.bucket): (task.gradient, factor)
            for task, factor in zip(tasks, factors, strict=True)
        }

    @property
    def gradients(self):
        """The reduced, clipped gradients."""
        found: dict = {}
        for bucket in self._optimizer.state.buckets:
            found |= zip(bucket.indices, bucket.split(self._gradient(bucket)), strict=True)
        return [found[i] for i in sorted(found)]

    def _gradient(self, bucket):
        if id(bucket) not in self._reduced:
            return ops.zeros(bucket.shape, bucket.dtype)
        gradient, factor = self._reduced[id(bucket)]
        return scaled(backend.dense(gradient), factor, self._h)

    @property
    def weights(self):
        """The weights before the update."""
        return [ops.cast(v, wide(v)) for v in self._optimizer.model_variables]

    @property
    def slots(self):
        """For each variable its slots, by name."""
        state = self._optimizer.state
        return [
            {
                name: ops.cast(slot.read(), state.home[i][0].dtype)
                for name, slot in state.slots[i].items()
            }
            for i in sorted(state.home)
        ]

    @property
    def multipliers(self):
        """The factor of each variable's learning rate."""
        state = self._optimizer.state
        return [state.specs[i].multiplier for i in sorted(state.home)]
