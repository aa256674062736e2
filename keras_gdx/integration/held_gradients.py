"""The gradients that a train step gives to its optimizers, held instead of applied."""

import functools
import threading
from contextlib import contextmanager

_here = threading.local()  # every replica of a process runs in its own thread


@contextmanager
def holding():
    """Context in which gradients are collected in the list that it yields, and not applied.

    Each entry is an optimizer, its gradients and their variables, as given to `apply`.
    """
    outer = getattr(_here, "held", None)
    held: list = []
    _here.held = held
    try:
        yield held
    finally:
        _here.held = outer


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


def weighed(optimizer, gradients):
    """The gradients that were held, as the optimizer will weigh them."""
    return optimizer.apply.weigh(gradients)


def _holdable(optimizer, method):
    @functools.wraps(method)
    def apply(grads, trainable_variables=None):
        held = getattr(_here, "held", None)
        if held is not None:
            return held.append((optimizer, grads, trainable_variables))
        return method(weighed(optimizer, grads), trainable_variables)

    vars(apply)["weigh"] = lambda gradients: gradients
    return apply
