"""A file changes a model with its optimizers as a whole, or not at all."""

from contextlib import contextmanager
from contextvars import ContextVar

from keras_gdx.backends import backend

_waiting: ContextVar[list | None] = ContextVar("waiting", default=None)


@contextmanager
def all_or_nothing(variables):
    """In this context a file is read; if that fails, all is as it was before.

    Keras writes the weights of each layer as it reads them, so they are put back. Optimizers
    write theirs when all else is done.

    Args:
        variables: Those that are written at once.
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
    """Calls the function `write` when nothing can fail any more: at once, or after the context."""
    waiting = _waiting.get()
    if waiting is None:
        write()
    else:
        waiting.append(write)
