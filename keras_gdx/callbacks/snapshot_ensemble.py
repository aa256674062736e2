"""Snapshot ensembles: several models from one training run."""

from typing import NamedTuple

import keras
import numpy as np

from keras_gdx.callbacks.base import Callback
from keras_gdx.config import check, check_integer
from keras_gdx.registry import register

__all__ = ["SnapshotEnsemble"]


class Snapshots(NamedTuple):
    """The state of a `SnapshotEnsemble`: each member's weights, as in `model.weights`."""

    members: tuple = ()


@register
class SnapshotEnsemble(Callback):
    """Stores the weights after every cycle; `predict` averages over these members.

    Use it with a learning rate that falls to zero and restarts, such as `CosineRestarts` with
    cycles of `every` epochs: the model then converges to one minimum after another.

    Args:
        every: Integer >= 1, epochs per cycle.
        keep: Integer >= 1, number of members to keep, the most recent ones. `None` keeps all.
            Each member is a copy of the weights in host memory.

    Raises:
        ValueError: If an argument is out of range; from `predict`, if there is no member yet.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import SnapshotEnsemble
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x, ensemble = np.ones((8, 1)), SnapshotEnsemble(every=2)
        >>> history = model.fit(x, x, epochs=5, verbose=0, callbacks=[ensemble])
        >>> len(ensemble.members), ensemble.predict(x, verbose=0).shape
        (2, (8, 1))

    Source: 1704.00109

    Verified against: the mean of the members' own predictions
    """

    fresh = Snapshots()

    def __init__(self, every, keep=None):
        super().__init__()
        check_integer("every", every, 1)
        if keep is not None:
            check_integer("keep", keep, 1)
        self.every = every
        self.keep = keep

    @property
    def members(self):
        """The weights of each member, as `model.get_weights` returns them."""
        return [list(member) for member in self.memory.members]

    def on_epoch_end(self, epoch, logs=None):
        """Stores a member at the end of a cycle."""
        if (epoch + 1) % self.every == 0:
            members = (*self.memory.members, tuple(self.model.get_weights()))
            self.memory = Snapshots(members[-self.keep :] if self.keep else members)

    def predict(self, x, **options):
        """Returns the mean of all members' predictions; restores the model's weights afterwards.

        Args:
            x: Inputs for `model.predict`.
            **options: Other arguments of `model.predict`.
        """
        check(self.memory.members, "members", 0, "there: no cycle is complete yet")
        own = self.model.get_weights()
        try:
            found = []
            for member in self.memory.members:
                self.model.set_weights(member)
                found.append(self.model.predict(x, **options))
        finally:
            self.model.set_weights(own)
        return keras.tree.map_structure(lambda *each: np.mean(each, axis=0), *found)
