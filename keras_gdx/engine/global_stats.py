"""Statistics over the whole model that rules and modifiers may need, such as DoG's distance."""

from functools import reduce

from keras import ops

from keras_gdx.backends import backend
from keras_gdx.engine.clipping import scaled
from keras_gdx.engine.hyperparameters import Scalars
from keras_gdx.engine.state.state import surveyed, wide
from keras_gdx.engine.update import advance, slot_variables


def survey(optimizer, h, tasks, factors):
    """Adds all statistics to `h`, in the order of their use, and writes the shared state.

    Args:
        optimizer: The optimizer.
        h: The `Scalars` of this update, by dtype.
        tasks: The buckets with their gradients.
        factors: The factor of each gradient, or `None`.
    """
    shared = optimizer.state.shared
    for path, rule, modifier, names in surveyed(optimizer, optimizer.state.rules):
        variables = [shared[name] for name in names]
        old = [ops.convert_to_tensor(v) for v in variables]
        scalars = _scope(h[max(h)], path)
        model = ModelView(optimizer, rule, h, tasks, factors)
        if modifier is None:
            found, *new = rule.global_stats(scalars, model, *old)
        else:
            dtype = max(h)
            xs = [ops.cast(x, dtype) for x in model.received(modifier)]
            found, *new = modifier.global_stats(modifier.scalars(rule, scalars, dtype), xs, *old)
        for variable, value in zip(variables, new, strict=True):
            variable.assign(ops.cast(value, variable.dtype))
        for dtype, scalars in h.items():
            cast = {name: ops.cast(x, dtype) for name, x in found.items()}
            if modifier is not None:
                cast = {modifier.name_in(rule): Scalars(**cast)}
            vars(_scope(scalars, path)).update(cast)


def _scope(h, path):
    """The scalars of the rule to which these parts lead."""
    return reduce(getattr, path, h)


class ModelView:
    """What `global_stats` can read of the variables that a rule updates, computed on access.

    For rules, a variable without a gradient has a gradient of 0.
    """

    def __init__(self, optimizer, rule, h, tasks, factors):
        self._optimizer = optimizer
        self._rule = rule
        self._h = h
        self._buckets = [b for b in optimizer.state.buckets if b.rule is rule]
        self._indices = sorted(i for bucket in self._buckets for i in bucket.indices)
        pairs = zip(tasks, factors, strict=True)
        self._given = [(task, factor) for task, factor in pairs if task.bucket.rule is rule]
        self._reduced = {id(task.bucket): (task.gradient, factor) for task, factor in self._given}

    @property
    def gradients(self):
        """The reduced, clipped gradients."""
        found: dict = {}
        for bucket in self._buckets:
            found |= zip(bucket.indices, bucket.split(self._gradient(bucket)), strict=True)
        return [found[i] for i in sorted(found)]

    def _gradient(self, bucket):
        if id(bucket) not in self._reduced:
            return ops.zeros(bucket.shape, bucket.dtype)
        gradient, factor = self._reduced[id(bucket)]
        return scaled(backend.dense(gradient), factor, self._h[bucket.dtype])

    @property
    def weights(self):
        """The weights before the update."""
        variables = [self._optimizer.model_variables[i] for i in self._indices]
        return [ops.cast(v, wide(v)) for v in variables]

    @property
    def slots(self):
        """For each variable its slots, by name."""
        state = self._optimizer.state
        return [
            {
                name: ops.cast(slot.read(), state.home[i][0].dtype)
                for name, slot in state.slots[i].items()
            }
            for i in self._indices
        ]

    @property
    def multipliers(self):
        """The factor of each variable's learning rate."""
        state = self._optimizer.state
        return [state.specs[i].multiplier for i in self._indices]

    def received(self, modifier):
        """For each bucket that has a gradient, what the modifier will receive."""
        found = []
        for task, factor in self._given:
            bucket = task.bucket
            h = self._h[bucket.dtype].replace(
                multiplier=bucket.spec.multiplier, index=float(bucket.indices[0])
            )
            x = backend.values(scaled(task.gradient, factor, h))
            if modifier not in self._rule.before[:1]:
                x = self._advanced(bucket, h, backend.dense(x), modifier)
                if task.present is not None:
                    x = ops.where(bucket.spread(task.present), x, 0.0)
            found.append(x)
        return found

    def _advanced(self, bucket, h, gradient, modifier):
        stored = backend.dense(bucket.together(self._optimizer.model_variables).value)
        contents = [backend.dense(v.value) for v in slot_variables(bucket)]
        x, _ = advance(self._optimizer, bucket, h, gradient, stored, contents, modifier)
        return x
