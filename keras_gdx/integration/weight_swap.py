"""Trained weights step aside for the weights to evaluate with, and come back unchanged."""

from typing import Any

from keras import ops

from keras_gdx.backends import backend
from keras_gdx.engine.late_weights import updates_of
from keras_gdx.engine.state.state import LOW_PRECISION


class WeightSwap:
    """Where the trained weights wait while the model holds others.

    They are copied, not computed back: returning to them is exact in any dtype.

    Somebody may give the model other weights meanwhile: `EarlyStopping` restores the best ones,
    a file is loaded. Those are evaluated and saved as they are, and training goes on from them,
    variable by variable.

    Attributes:
        trained: The trained weights while the model holds others, or `None`.
    """

    def __init__(self, optimizer):
        self.optimizer = optimizer
        self.trained: Any = None
        self._update = 0  # the one after which they were put here

    @property
    def swapped(self):
        """Whether the trained weights wait here; not if training or a checkpoint has gone on."""
        if self.trained is not None and self._update != updates_of(self.optimizer):
            self.trained = None
        return self.trained is not None

    def put(self, trained):
        """Lets these trained weights wait: the model has those to evaluate with already."""
        self.trained, self._update = trained, updates_of(self.optimizer)

    def enter(self):
        """Gives the model its evaluation weights; returns whether that changed anything."""
        optimizer = self.optimizer
        if not optimizer.built or self.swapped or not updates_of(optimizer):
            return False
        values = optimizer.evaluation_values(optimizer.model_variables)
        if values is None:
            return False
        self.put([backend.snapshot(v) for v in optimizer.model_variables])
        self._assign(values)
        return True

    def leave(self):
        """Gives the model its trained weights back, if they wait here."""
        if self.swapped:
            self.settle()
            trained, self.trained = self.trained, None
            self._assign(trained)

    def settle(self):
        """Takes weights that somebody has set since `enter` for the trained ones."""
        if not self.swapped:
            return
        expected = self.optimizer.evaluation_values(self.trained)
        variables = self.optimizer.model_variables
        pairs = zip(variables, expected, strict=True)
        changed = [i for i, (variable, x) in enumerate(pairs) if not bool(_close(variable, x))]
        for i in changed:
            self.trained[i] = backend.snapshot(variables[i])
        self.optimizer.adopt(changed)

    def _assign(self, values):
        for variable, value in zip(self.optimizer.model_variables, values, strict=True):
            value = ops.copy(ops.cast(value, variable.dtype))  # not shared with the averages
            variable.assign(value)


def _close(variable, value):
    """Whether two roundings of one value could differ so much."""
    rtol = 1e-2 if variable.dtype in LOW_PRECISION else 1e-5
    pair = (ops.cast(x, "float32") for x in (variable, value))
    return ops.all(ops.isclose(*pair, rtol=rtol, atol=1e-7))
