"""What was made inside of a strategy's scope, and what was not."""

from keras_gdx.integration.model_optimizers import all_optimizers


def require_scope(model):
    """Raises `ValueError` if a part of a model cannot train in its strategy."""
    if apart := outside(model):
        raise ValueError(
            f"Made outside of strategy.scope(): {some(apart)}. Make all layers, and the optimizer "
            "that the model is compiled with, inside of `with strategy.scope():`."
        )


def outside(model):
    """The names of variables without a copy for each replica, and of optimizers."""
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1:
        return []
    found = [v.path for v in model.variables if not hasattr(v.value, "values")]
    made_in = ((x, getattr(x, "_distribution_strategy", strategy)) for x in all_optimizers(model))
    return found + [f"optimizer {x.name}" for x, other in made_in if other is not strategy]


def some(names, most=3):
    """A few of the names, and how many more there are.

    Example:
        >>> some(["a", "b", "c", "d", "e"])
        'a, b, c and 2 more'
    """
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
