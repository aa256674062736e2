"""Snapshot ensembles: several models from one training run."""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import keras
import numpy as np

from keras_gdx.arguments import PositiveInt, check
from keras_gdx.callbacks._lib.amount import amount_in
from keras_gdx.callbacks.base import Logs, Periodic, if_needed
from keras_gdx.integration.weight_swap import evaluation_weights
from keras_gdx.registry import register

__all__ = ["SnapshotEnsemble"]


class Snapshots(NamedTuple):
    """The state of a `SnapshotEnsemble`.

    Attributes:
        step: Steps of the run so far, if `every` is in steps.
        begin: Value of `step` when the current epoch began; `None` between epochs.
        members: Each member's weights, as in `model.weights`.
    """

    step: int = 0
    begin: int | None = None
    members: Sequence[Sequence[np.ndarray]] = ()


@register
class SnapshotEnsemble(Periodic):
    """Stores the weights after every cycle; `predict` averages over these members.

    Use it with a learning rate that falls to zero and restarts, such as `CosineRestarts` with
    cycles of that length: the model then converges to one minimum after another.

    Args:
        every: Length of a cycle: epochs, or an amount such as `"2 epochs"` or `"500 steps"` (a
            step is a batch).
        keep: Integer >= 1, number of members to keep, the most recent ones. `None` keeps all.
            Each member is a copy of the weights in host memory.

    Raises:
        ValueError: If an argument is out of range; from `predict`, if there is no member yet.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import SnapshotEnsemble
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x, callback = np.ones((8, 1)), SnapshotEnsemble(every="2 epochs")
        >>> history = model.fit(x, x, epochs=5, verbose=0, callbacks=[callback])
        >>> len(callback.members), callback.predict(x, verbose=0).shape
        (2, (8, 1))

    Source: arXiv:1704.00109

    Verified against: the mean of the members' own predictions
    """

    fresh = Snapshots()

    def __init__(
        self,
        every: Annotated[int | str, amount_in("epochs", "steps")],
        keep: PositiveInt | None = None,
    ):
        super().__init__()
        self.every = every
        self.keep = keep

    @property
    def needs_batches(self) -> bool:
        return bool(self.parsed("every").unit == "steps")

    @property
    def members(self) -> list[list[np.ndarray]]:
        """The weights of each member, as `model.get_weights` returns them."""
        return [list(member) for member in self.memory.members]

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Stores a member if a cycle of epochs is over."""
        super().on_epoch_end(epoch, logs)
        if self.parsed("every").after_epoch(epoch):
            self._store()

    @if_needed
    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Stores a member if a cycle of steps is over."""
        if self.count(batch):
            self._store()

    def _store(self) -> None:
        with evaluation_weights(self.model):
            members = (*self.memory.members, tuple(self.model.get_weights()))
        members = members[-self.keep :] if self.keep else members
        self.memory = self.memory._replace(members=members)

    def predict(self, x: Any, **options: Any) -> Any:
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
