"""Gradual unfreezing of layers for fine-tuning."""

import re

from keras_gdx.callbacks._lib.stages import by_epoch
from keras_gdx.callbacks.base import Callback
from keras_gdx.checkpoint import snapshot
from keras_gdx.config import check, needs_tensorflow
from keras_gdx.engine.variables.structure import check_pattern, layers_of
from keras_gdx.integration.keras_optimizer import unknown_variables
from keras_gdx.integration.model_optimizers import all_optimizers, moved_by
from keras_gdx.registry import register

__all__ = ["Unfreezing"]


@register
class Unfreezing(Callback):
    """Unfreezes layers at given epochs.

    A layer is trained from the first epoch whose pattern matches the path of one of its own
    weights. Before that it is frozen: no gradient is computed, and batch normalization does not
    update its statistics. Layers that match no pattern are unchanged. The optimizer has state
    for all these layers from the start, so unfreezing loses nothing. The train step is
    recompiled at epochs that unfreeze layers.

    Args:
        stages: Dictionary from epochs, counted from 0, to regular expressions, searched for in
            paths: `{0: "head", 2: "block5", 4: "block"}`.
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
        >>> stages = Unfreezing({0: "head", 5: "body"})
        >>> history = model.fit(x, x, epochs=2, verbose=0, callbacks=[stages])
        >>> [bool((a == b).all()) for a, b in zip(before, model.get_weights())]
        [True, True, False, False]

    Source: 1801.06146

    Verified against: weights that stay frozen and weights that are trained
    """

    needs_fit = needs_weights = True

    def __init__(self, stages, exclude=None):
        super().__init__()
        allowed = "a dictionary from epochs to regular expressions"
        self.stages = by_epoch("stages", stages, allowed)
        for pattern in self.stages.values():
            check_pattern("stages", pattern)
        check_pattern("exclude", exclude)
        self.exclude = exclude

    def on_train_begin(self, logs=None):
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
        self._set(min(self.stages) - 1)

    def on_epoch_begin(self, epoch, logs=None):
        """Unfreezes the layers whose epoch has come."""
        super().on_epoch_begin(epoch, logs)
        before = [id(v) for v in self.model.trainable_variables]
        self._set(epoch)
        if [id(v) for v in self.model.trainable_variables] != before:
            self.model.make_train_function(force=True)

    def _plan(self, model, layers):
        """For each layer: its own weights, its first epoch, and whether it contains layers."""
        self._trained = {id(v) for v in model.trainable_variables}
        self._all, self._planned = layers, []
        for layer in layers:
            layer.trainable = True
        found = set()
        for layer in layers:
            parts = [part for part in layers_of(layer) if part is not layer]
            theirs = {id(v) for part in parts for v in part.trainable_variables}
            own = [v for v in layer.trainable_variables if id(v) not in theirs]
            begins = {e for e, p in self.stages.items() if any(re.search(p, v.path) for v in own)}
            found |= begins
            if self.exclude and any(re.search(self.exclude, v.path) for v in own):
                begins = set()
            self._planned.append((layer, own, bool(parts), min(begins, default=None)))
        for epoch in self.stages.keys() - found:
            paths = ", ".join(v.path for v in model.trainable_variables[:20])
            check(False, "stages", self.stages[epoch], f"found in the paths of weights: {paths}")

    def _build(self, model):
        """Builds the optimizer, or checks that it was built with these weights."""
        self._set(max(self.stages))
        snapshot.build_optimizer(model)
        known = {id(v) for each in all_optimizers(model) for v in moved_by(each)}
        missing = [v for v in model.trainable_variables if id(v) not in known]
        if missing:
            raise unknown_variables(missing)

    def _set(self, epoch):
        """Freezes and unfreezes the layers for an epoch."""
        for layer in self._all:  # a frozen container would freeze the layers inside
            layer.trainable = True
        for layer, own, has_parts, begin in self._planned:
            trains = [id(v) in self._trained if begin is None else begin <= epoch for v in own]
            if own and not has_parts:
                layer.trainable = any(trains)
            for variable, train in zip(own, trains, strict=True):
                variable.trainable = train
