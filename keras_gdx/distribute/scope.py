"""Finds variables and optimizers that were created outside the strategy's scope."""

from collections.abc import Sequence

import keras

from keras_gdx.integration.model_optimizers import all_optimizers


def require_scope(model: keras.Model) -> None:
    """Raises `ValueError` if part of the model was created outside its strategy's scope."""
    if apart := outside(model):
        raise ValueError(
            f"Created outside strategy.scope(): {some(apart)}. Create all layers, and the "
            "optimizer that the model is compiled with, inside `with strategy.scope():`."
        )


def outside(model: keras.Model) -> list[str]:
    """The variables and optimizers created outside the scope, by path and name."""
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1:
        return []
    found = [v.path for v in model.variables if not hasattr(v.value, "values")]
    made_in = ((x, getattr(x, "_distribution_strategy", strategy)) for x in all_optimizers(model))
    return found + [f"optimizer {x.name}" for x, other in made_in if other is not strategy]


def some(names: Sequence[str], most: int = 3) -> str:
    """The first `most` names, and the number of further ones.

    Example:
        >>> some(["a", "b", "c", "d", "e"])
        'a, b, c and 2 more'
    """
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
