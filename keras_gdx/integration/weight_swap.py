"""Swaps evaluation weights in, and restores the trained ones."""

from typing import Any

from keras import ops

from keras_gdx.backends import backend
from keras_gdx.engine.late_weights import updates_of
from keras_gdx.engine.state.state import LOW_PRECISION


class WeightSwap:
    """Holds the trained weights while the model has its evaluation weights.

    Trained weights are copied, not recomputed, so restoring them is exact in any dtype.

    The model's weights may be changed in the meantime: `EarlyStopping` restores the best ones, or a
    file is loaded. Weights set that way are evaluated and saved unchanged, and training continues
    from them. This is decided variable by variable.

    Attributes:
        trained: The trained weights while they are swapped out, or `None`.
    """

    def __init__(self, optimizer):
        self.optimizer = optimizer
        self.trained: Any = None
        self._update = 0  # the update count when they were swapped out

    @property
    def swapped(self):
        """Whether trained weights are held here. A change of the update count drops them."""
        if self.trained is not None and self._update != updates_of(self.optimizer):
            self.trained = None
        return self.trained is not None

    def put(self, trained):
        """Holds these trained weights; the model already has its evaluation weights."""
        self.trained, self._update = trained, updates_of(self.optimizer)

    def enter(self):
        """Swaps the evaluation weights in; returns whether that changed anything."""
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
        """Restores the trained weights, if they are held here."""
        if self.swapped:
            self.settle()
            trained, self.trained = self.trained, None
            self._assign(trained)

    def settle(self):
        """Adopts weights that were set since `enter` as trained weights."""
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
            value = ops.copy(ops.cast(value, variable.dtype))  # not shared with the moving averages
            variable.assign(value)


def _close(variable, value):
    """Whether `variable` equals `value` up to rounding."""
    rtol = 1e-2 if variable.dtype in LOW_PRECISION else 1e-5
    pair = (ops.cast(x, "float32") for x in (variable, value))
    return ops.all(ops.isclose(*pair, rtol=rtol, atol=1e-7))
