"""Trained weights step aside for the weights to evaluate with, and come back unchanged."""

from keras import ops

from keras_gdx.engine import backend
from keras_gdx.engine.start import updates_of
from keras_gdx.engine.state import LOW_PRECISION


class Parking:
    """Where the trained weights wait while the model holds others.

    They are copied, not computed back: returning to them is exact in any dtype.
    """

    def __init__(self, optimizer):
        self.optimizer = optimizer
        self.trained = None

    @property
    def occupied(self):
        """Whether the model holds evaluation weights now.

        If somebody has given it other weights since, those are the trained ones now.
        """
        if self.trained is not None and not self._untouched():
            self.trained = None
        return self.trained is not None

    def enter(self):
        """Gives the model its evaluation weights; returns whether that changed anything."""
        if not self.optimizer.built or self.occupied:
            return False
        if not updates_of(self.optimizer):  # before the first update both are the same
            return False
        variables = self.optimizer.model_variables
        values = self.optimizer.evaluation_values(variables)
        if values is None:
            return False
        self.trained = [backend.snapshot(v) for v in variables]
        self._assign(values)
        return True

    def leave(self):
        """Gives the model its trained weights back, if they wait here."""
        if self.occupied:
            trained, self.trained = self.trained, None
            self._assign(trained)

    def _assign(self, values):
        for variable, value in zip(self.optimizer.model_variables, values, strict=True):
            variable.assign(ops.cast(value, variable.dtype))

    def _untouched(self):
        """Whether the model still holds the evaluation weights it was given."""
        expected = self.optimizer.evaluation_values(self.trained)
        pairs = zip(self.optimizer.model_variables, expected, strict=True)
        return all(bool(_close(variable, value)) for variable, value in pairs)


def _close(variable, value):
    """Whether two roundings of one value could differ so much."""
    rtol = 1e-2 if variable.dtype in LOW_PRECISION else 1e-5
    pair = (ops.cast(x, "float32") for x in (variable, value))
    return ops.all(ops.isclose(*pair, rtol=rtol, atol=1e-7))
