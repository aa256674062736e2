"""Swaps evaluation weights in, and restores the trained ones.

An optimizer may have weights to evaluate with, and during `fit` a `WeightAverager`, too. Whatever
evaluates, copies or saves the weights of a model uses `evaluation_weights`, and whatever continues
training uses `trained_weights`.
"""

from contextlib import contextmanager
from typing import Any

from keras import ops

from keras_gdx.backends import backend
from keras_gdx.engine.late_weights import updates_of
from keras_gdx.engine.state.state import LOW_PRECISION
from keras_gdx.engine.variables.masks import mask_of, masked
from keras_gdx.integration.model_optimizers import keras_averages, ours


class WeightSwap:
    """Holds the trained weights while the model has its evaluation weights.

    Trained weights are copied, not recomputed, so restoring them is exact in any dtype.

    The model's weights may be changed in the meantime: `EarlyStopping` restores the best ones, or a
    file is loaded. Weights set that way are evaluated and saved unchanged, and training continues
    from them. This is decided variable by variable.

    Args:
        owner: An optimizer, or an object with these attributes of one: `built`, `iterations`,
            `model_variables`, `evaluation_values` and `adopt`.

    Attributes:
        trained: The trained weights while they are swapped out, or `None`.
    """

    def __init__(self, owner):
        self.owner = owner
        self.trained: Any = None
        self._update = 0  # the update count when they were swapped out

    @property
    def swapped(self):
        """Whether trained weights are held here. A change of the update count drops them."""
        if self.trained is not None and self._update != updates_of(self.owner):
            self.trained = None
        return self.trained is not None

    def put(self, trained):
        """Holds these trained weights; the model already has its evaluation weights."""
        self.trained, self._update = trained, updates_of(self.owner)

    def values(self, trained):
        """The evaluation weights, from the trained ones; `None` if they are the same."""
        values = self.owner.evaluation_values(trained)
        if values is None:
            return None
        pairs = zip(self.owner.model_variables, values, strict=True)
        return [masked(ops.convert_to_tensor(value), mask_of(v)) for v, value in pairs]

    def enter(self):
        """Swaps the evaluation weights in; returns whether that changed anything."""
        owner = self.owner
        if not owner.built or self.swapped or not updates_of(owner):
            return False
        values = self.values(owner.model_variables)
        if values is None:
            return False
        self.put([backend.snapshot(v) for v in owner.model_variables])
        self._assign(values)
        return True

    def leave(self):
        """Restores the trained weights, if they are held here."""
        if self.swapped:
            self.settle()
            trained, self.trained = self.trained, None
            self._assign(trained)

    def enter_again(self):
        """Swaps the evaluation weights in once more, if something has overwritten them."""
        if self.swapped:
            self._assign(self.values(self.trained))

    def changed(self, shown=None):
        """The positions of the variables that were set since `enter`.

        Args:
            shown: The current values by the variables' `id`, where they are not the variables'.
        """
        pairs = zip(self.owner.model_variables, self.values(self.trained), strict=True)
        now = [((shown or {}).get(id(variable), variable), x) for variable, x in pairs]
        return [i for i, pair in enumerate(now) if not bool(_close(*pair))]

    def settle(self, shown=None):
        """Adopts weights that were set since `enter` as trained weights; see `changed`."""
        changed = self.changed(shown)
        for i in changed:
            self.trained[i] = backend.snapshot(self.owner.model_variables[i])
        self.owner.adopt(changed)

    def _assign(self, values):
        for variable, value in zip(self.owner.model_variables, values, strict=True):
            value = ops.copy(ops.cast(value, variable.dtype))  # not shared with the moving averages
            variable.assign(value)


def _close(variable, value):
    """Whether `variable` equals `value` up to rounding."""
    rtol = 1e-2 if variable.dtype in LOW_PRECISION else 1e-5
    pair = (ops.cast(x, "float32") for x in (variable, value))
    return ops.all(ops.isclose(*pair, rtol=rtol, atol=1e-7))


# -- all swaps of a model ------------------------------------------------------------------------


def swaps_of(model):
    """The swaps of a model's optimizers, then those added to it, each around those before it."""
    return [*(x.weight_swap for x in ours(model)), *added_to(model)]


def added_to(model):
    """The swaps in use on a model that belong to no optimizer; a list to add to."""
    return vars(model).setdefault("_keras_gdx_swaps", [])


def show(model):
    """Swaps in the weights to evaluate with; returns the swaps that this changed."""
    optimizers = (x.weight_swap for x in ours(model) if x.evaluates_others)
    return [swap for swap in (*optimizers, *added_to(model)) if swap.enter()]


def train(model):
    """Restores the trained weights."""
    for swap in reversed(swaps_of(model)):
        swap.leave()


def finish(model):
    """Swaps in the weights to keep after `fit`, which include the EMA of `use_ema`.

    Averages that were added have precedence, because validation used them.
    """
    if not averaged(model):
        for optimizer in ours(model):
            optimizer.weight_swap.enter()
    elif any(keras_averages(model)):  # Keras has just left these in the model
        for swap in added_to(model):
            swap.enter_again()


def averaged(model):
    """Whether the model has averages that were added to it."""
    return any(swap.swapped for swap in added_to(model))


@contextmanager
def evaluation_weights(model, averages=False):
    """The model has the weights to evaluate with.

    Args:
        model: The model.
        averages: Whether these include the EMA of `use_ema`, which `fit` keeps for its end.
    """
    entered: list = []
    try:
        if averages:
            entered += [x.weight_swap for x in ours(model) if x.weight_swap.enter()]
        entered += show(model)
        yield
    finally:
        for swap in reversed(entered):
            swap.leave()


def trained_weights(model):
    """The trained weights that are swapped out, by the variables' `id`."""
    found: dict = {}
    for swap in reversed(swaps_of(model)):
        if swap.swapped:
            swap.settle(found)
            pairs = zip(swap.owner.model_variables, swap.trained, strict=True)
            found.update((id(variable), value) for variable, value in pairs)
    return found
