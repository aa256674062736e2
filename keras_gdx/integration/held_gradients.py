"""The gradients that a train step gives to its optimizers, held instead of applied."""

import functools
from contextlib import contextmanager
from contextvars import ContextVar

_held: ContextVar = ContextVar("held", default=None)  # every replica has a context of its own


@contextmanager
def holding():
    """Context in which gradients are collected in the list that it yields, and not applied.

    Each entry is an optimizer, its gradients, weighed, and their variables. `apply_held` takes it.
    """
    token = _held.set([])
    try:
        yield _held.get()
    finally:
        _held.reset(token)


def make_holdable(optimizer, weigh=None):
    """Lets `holding` intercept the gradients given to an optimizer; doing so again is harmless.

    Args:
        optimizer: Keras optimizer. One method of the object is replaced, so it keeps its class,
            state and arguments, and is saved as before.
        weigh: Function of the gradients, applied to them first: their share on this replica.
    """
    if "apply" not in vars(optimizer):
        vars(optimizer)["apply"] = _holdable(optimizer, optimizer.apply)
    if weigh is not None:
        vars(optimizer.apply)["weigh"] = weigh


def apply_held(optimizer, gradients, variables):
    """Applies gradients that are weighed already; they may be held again."""
    held = _held.get()
    if held is not None:
        return held.append((optimizer, gradients, variables))
    return optimizer.apply.__wrapped__(gradients, variables)


def _holdable(optimizer, method):
    @functools.wraps(method)
    def apply(grads, trainable_variables=None):
        return apply_held(optimizer, optimizer.apply.weigh([*grads]), trainable_variables)

    vars(apply)["weigh"] = lambda gradients: gradients
    return apply
