"""Dynamic loss scaling that checks the gradients of every replica."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras

from keras_gdx.arguments import PositiveFloat, PositiveInt, Tensor, check_type
from keras_gdx.backends import backend
from keras_gdx.checkpoint.stored_state import MANIFEST, Contents, around, manifest_of
from keras_gdx.integration.file_transaction import when_sure
from keras_gdx.integration.model_hooks import AFTER_COMPILE
from keras_gdx.optimizers.base import Optimizer
from keras_gdx.registry import get

__all__ = ["LossScaleOptimizer"]

RULE = "LossScaleOptimizer"
OWN = ("step_counter", "dynamic_scale")  # its variables, besides those of the inner optimizer


@keras.saving.register_keras_serializable("keras_gdx")
class LossScaleOptimizer(keras.optimizers.LossScaleOptimizer):
    """Keras' dynamic loss scaling, with the check for finite gradients on all replicas.

    Keras checks only the first replica: an infinity on the second one reaches the weights.
    `compile` automatically replaces Keras' `LossScaleOptimizer` around optimizers of this package
    by this class.

    Args:
        inner_optimizer: Any Keras optimizer, or the name of one.
        initial_scale: Number > 0: the first factor of the loss.
        dynamic_growth_steps: Integer >= 1: finite steps in a row after which it doubles.
        name: Name of the optimizer.
        **kwargs: See `keras.optimizers.LossScaleOptimizer`.

    Example:
        >>> import keras_gdx
        >>> inner = keras_gdx.optimizers.AdamW(1e-3)
        >>> optimizer = keras_gdx.optimizers.LossScaleOptimizer(inner, initial_scale=1024.0)

    Source: arXiv:1710.03740, Micikevicius et al. 2018
    Verified against: the same step without scaling
    """

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer | str,
        initial_scale: PositiveFloat = 2.0**15,
        dynamic_growth_steps: PositiveInt = 2000,
        name: str | None = None,
        **kwargs: Any,
    ):
        check_type("initial_scale", initial_scale, PositiveFloat, of=self)
        check_type("dynamic_growth_steps", dynamic_growth_steps, PositiveInt, of=self)
        inner = get(inner_optimizer, "inner_optimizer", of=self)
        super().__init__(inner, initial_scale, dynamic_growth_steps, name=name, **kwargs)

    def exclude_from_weight_decay(
        self, var_list: Sequence[Any] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        """Calls `exclude_from_weight_decay` of the inner optimizer."""
        self.inner_optimizer.exclude_from_weight_decay(var_list, var_names)

    def check_finite(self, grads: Sequence[Tensor]) -> Tensor:
        """Whether all gradients of all replicas are finite."""
        return check_finite(self, grads)

    def save_own_variables(self, store: Any) -> None:
        """Writes the scale; the inner optimizer writes its own state, once."""
        if self.built:
            for name in OWN:
                store[name] = keras.ops.convert_to_numpy(getattr(self, name))
        inside = {"inner_optimizer": type(self.inner_optimizer).__name__}
        store[MANIFEST] = manifest_of(RULE, inside, [])

    def load_own_variables(self, store: Any) -> None:
        """Reads the scale, if the file has one; the inner optimizer reads its own state."""
        inner, ours = self.inner_optimizer, isinstance(self.inner_optimizer, Optimizer)
        if ours:
            inner.left_alone = True  # until it is certain that the file's state is for it
        contents = Contents(RULE, store)
        manifest = contents.manifest()
        if ours:
            inner.left_alone = False
        if manifest is not None and manifest["rule"] != RULE:  # saved without loss scaling
            if ours and not around(inner):
                inner.load_own_variables(store)
                inner.left_alone = True  # the place where Keras would look for it is empty
            return
        if not self.built:
            return
        keys = {name: name for name in OWN}
        if manifest is None and len(contents.keys) == len(self.variables):  # saved as Keras does
            positions = {id(v): str(i) for i, v in enumerate(self.variables)}
            keys = {name: positions[id(getattr(self, name))] for name in OWN}
        for name, key in keys.items():
            if key in contents.keys:
                value = contents.read(key, "iuf", None)
                if value.shape == ():
                    when_sure(partial(getattr(self, name).assign, value))


def check_finite(optimizer: Any, grads: Sequence[Tensor]) -> Tensor:
    """Whether all gradients of all replicas are finite, for Keras' loss scaling or ours."""
    present = [backend.values(g) for g in grads if g is not None]
    finite = keras.optimizers.LossScaleOptimizer.check_finite(optimizer, present)
    return backend.same_everywhere(finite)


def take_place(model: keras.Model) -> None:
    """Replaces Keras' loss scaling around an optimizer of this package by this class."""
    scaled = model.optimizer
    if type(scaled) is keras.optimizers.LossScaleOptimizer and not scaled.built:
        options = scaled.get_config() | {"inner_optimizer": scaled.inner_optimizer}
        model.optimizer = LossScaleOptimizer(**options)


AFTER_COMPILE.append(take_place)
