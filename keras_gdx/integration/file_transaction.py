"""Loading a file changes a model and its optimizers completely, or not at all."""

from contextlib import contextmanager
from contextvars import ContextVar

from keras_gdx.backends import backend

_waiting: ContextVar[list | None] = ContextVar("waiting", default=None)


@contextmanager
def all_or_nothing(variables):
    """Context in which a file is read; if that fails, the variables are restored.

    Keras assigns the weights of each layer as it reads them, so they are restored on failure.
    Optimizers defer their writes until everything has been read.

    Args:
        variables: Variables to restore on failure.
    """
    before = [[part.numpy() for part in backend.copies(v)] for v in variables]
    writes: list = []
    token = _waiting.set(writes)
    try:
        yield
    except BaseException:
        for variable, values in zip(variables, before, strict=True):
            for part, value in zip(backend.copies(variable), values, strict=True):
                part.assign(value)
        raise
    finally:
        _waiting.reset(token)
    for write in writes:
        write()


def when_sure(write):
    """Calls the function `write` immediately, or, inside `all_or_nothing`, after it succeeds."""
    waiting = _waiting.get()
    if waiting is None:
        write()
    else:
        waiting.append(write)
