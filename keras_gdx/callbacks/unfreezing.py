"""Gradual unfreezing of layers for fine-tuning."""

import re
from typing import Annotated, Any

from keras_gdx.arguments import accepts, needs_tensorflow
from keras_gdx.callbacks._lib.amount import Amount
from keras_gdx.callbacks._lib.argument_types import Pattern
from keras_gdx.callbacks._lib.stages import stages_of
from keras_gdx.callbacks.base import Counted, Counting, Logs, if_needed
from keras_gdx.engine.variables.structure import layers_of
from keras_gdx.integration.keras_optimizer import unknown_variables
from keras_gdx.integration.model_building import build_optimizer
from keras_gdx.integration.model_optimizers import all_optimizers, moved_by
from keras_gdx.registry import register

__all__ = ["Unfreezing"]

Stages = Annotated[
    dict[int | str, str],
    stages_of(lambda each: accepts(Pattern, each), "regular expressions", "epochs", "steps"),
]


@register
class Unfreezing(Counting):
    """Unfreezes layers at given epochs or steps.

    A layer is trained from the first epoch or step whose pattern matches the path of one of its own
    weights. Before that it is frozen: no gradient is computed, and batch normalization does not
    update its statistics. Layers that match no pattern are unchanged. The optimizer has state
    for all these layers from the start, so unfreezing loses nothing. The train and
    test steps are recompiled whenever layers are unfrozen.

    Args:
        stages: Dictionary from numbers of epochs, or amounts such as `"2 epochs"` or
            `"1000 steps"` (a step is a batch), to regular expressions, searched for in paths:
            `{0: "head", 2: "block5", 4: "block"}`.
        exclude: Regular expression: layers with a matching weight are unchanged, even if
            `stages` matches them. Example: `"batch_normalization|_bn/"`.

    Raises:
        ValueError: If an argument has another form; when `fit` begins, if a pattern matches no
            layer, the model is not built, or its optimizer was built without these weights.

    Example:
        >>> import keras, numpy as np
        >>> from keras_gdx.callbacks import Unfreezing
        >>> layers = [keras.layers.Dense(2, name=name) for name in ("body", "head")]
        >>> model = keras.Sequential([keras.Input((2,)), *layers])
        >>> model.compile("sgd", "mse")
        >>> x, before = np.ones((8, 2)), model.get_weights()
        >>> callback = Unfreezing({0: "head", "3 epochs": "body"})
        >>> history = model.fit(x, x, epochs=2, verbose=0, callbacks=[callback])
        >>> [bool((a == b).all()) for a, b in zip(before, model.get_weights())]
        [True, True, False, False]

    Source: arXiv:1801.06146

    Verified against: weights that stay frozen and weights that are trained
    """

    fresh = Counted()
    needs_fit = needs_weights = True

    def __init__(self, stages: Stages, exclude: Pattern | None = None):
        super().__init__()
        self.stages = stages
        self.exclude = exclude

    @property
    def needs_batches(self) -> bool:
        return any(amount.unit == "steps" for amount in self.parsed("stages"))

    def on_train_begin(self, logs: Logs = None) -> None:
        """Creates the optimizer state of all layers that will be trained."""
        super().on_train_begin(logs)
        needs_tensorflow("Unfreezing")
        layers = layers_of(self.model)
        before = [(each, each.trainable) for each in (*layers, *self.model.variables)]
        try:
            self._plan(self.model, layers)
            self._build(self.model)
        except BaseException:
            for each, trainable in before:  # layers first, outer before inner ones
                each.trainable = trainable
            raise
        self._set(set())

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Unfreezes the layers whose epoch has come."""
        super().on_epoch_begin(epoch, logs)
        self._unfreeze(self._reached())

    @if_needed
    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Unfreezes the layers whose step has come."""
        before = self._reached()
        self.advance(batch)
        if (reached := self._reached()) != before:
            self._unfreeze(reached)

    def _reached(self) -> set[Amount]:
        """The stages that have begun."""
        step, epoch = self.memory.step, self._epoch
        return {amount for amount in self.parsed("stages") if amount.is_past(step, epoch)}

    def _unfreeze(self, stages: set[Amount]) -> None:
        before = [id(v) for v in self.model.trainable_variables]
        self._set(stages)
        if [id(v) for v in self.model.trainable_variables] != before:
            self.model.make_train_function(force=True)
            self.model.test_function = None  # penalties are those of the trained weights

    def _plan(self, model: Any, layers: list[Any]) -> None:
        """For each layer: its own weights, its stages, and whether it contains layers."""
        stages = self.parsed("stages")
        self._trained = {id(v) for v in model.trainable_variables}
        self._all = layers
        self._planned: list[tuple[Any, list[Any], bool, set[Amount]]] = []
        for layer in layers:
            layer.trainable = True
        found: set[Amount] = set()
        for layer in layers:
            parts = [part for part in layers_of(layer) if part is not layer]
            theirs = {id(v) for part in parts for v in part.trainable_variables}
            own = [v for v in layer.trainable_variables if id(v) not in theirs]
            begins = {a for a, p in stages.items() if any(re.search(p, v.path) for v in own)}
            found |= begins
            if self.exclude and any(re.search(self.exclude, v.path) for v in own):
                begins = set()
            self._planned.append((layer, own, bool(parts), begins))
        for amount in stages.keys() - found:
            paths = ", ".join(v.path for v in model.trainable_variables[:20])
            self._check(False, "stages", stages[amount], f"found in the paths of weights: {paths}")

    def _build(self, model: Any) -> None:
        """Builds the optimizer, or checks that it was built with these weights."""
        self._set({*self.parsed("stages")})
        build_optimizer(model)
        known = {id(v) for each in all_optimizers(model) for v in moved_by(each)}
        missing = [v for v in model.trainable_variables if id(v) not in known]
        if missing:
            raise unknown_variables(missing)

    def _set(self, stages: set[Amount]) -> None:
        """Freezes and unfreezes the layers for the stages that have begun."""
        for layer in self._all:  # a frozen container would freeze the layers inside
            layer.trainable = True
        for layer, own, has_parts, begins in self._planned:
            trains = [bool(begins & stages) if begins else id(v) in self._trained for v in own]
            if own and not has_parts:
                layer.trainable = any(trains)
            for variable, train in zip(own, trains, strict=True):
                variable.trainable = train
