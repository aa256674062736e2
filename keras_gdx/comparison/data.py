"""What is trained on: the same batches in the same order for every strategy."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_gdx.arguments import check

VALIDATION = 0.2  # of the examples, if there is no validation data


class Data(NamedTuple):
    """Data to train on and to validate with."""

    train: Any
    validation: Any

    @property
    def is_stream(self) -> bool:
        """Whether the batches are made by a dataset."""
        return _is_dataset(self.train)

    @property
    def few(self) -> Any:
        """A few examples of the validation data."""
        part = self.validation
        return part.take(1) if _is_dataset(part) else _take(part, slice(0, 2))

    def batch_size(self, wanted: int) -> int:
        """The number of examples in a batch."""
        if self.is_stream:
            return _count(next(iter(self.train)))
        return min(wanted, _count(self.train))

    def batches(self, batch_size: int, seed: int) -> Any:
        """Batches without end, in an order that depends on the seed alone."""
        if self.is_stream:
            return self.train.repeat()
        return _batches(self.train, self.batch_size(batch_size), seed)


class Source:
    """The data of a comparison, anew for every run if it is made of datasets.

    A dataset shuffles by the random state in which it was created.
    """

    def __init__(self, given: Any):
        self._given = given
        self._kept: Data | None = None

    def load(self) -> Data:
        """Returns the data.

        Raises:
            ValueError: If it has no form that can be used.
        """
        if self._kept is not None:
            return self._kept
        data = data_of(self._given() if callable(self._given) else self._given)
        if not data.is_stream:
            self._kept = data
        return data


ALLOWED = (
    "(x, y), ((x, y), (x, y)) or a pair of datasets, where x and y have the same number of "
    "examples; or a function that returns one of these"
)


def data_of(given: Any) -> Data:
    """Data in one of the forms that a user may give it.

    Raises:
        ValueError: If it has none of them.
    """
    check(isinstance(given, (tuple, list)) and len(given) in (2, 3), "data", type(given), ALLOWED)
    if len(given) == 2 and all(isinstance(x, (tuple, list)) or _is_dataset(x) for x in given):
        train, validation = (x if _is_dataset(x) else _arrays(x) for x in given)
    else:
        train, validation = _split(_arrays(given))
    return Data(train, validation)


def evaluate(model: keras.Model, part: Any) -> dict[str, float]:
    """What a model's `evaluate` says of arrays or a dataset."""
    part = part if _is_dataset(part) else _arrays(part)
    arguments = (part,) if _is_dataset(part) else part[:2]
    weights = {"sample_weight": part[2]} if len(arguments) == 2 < len(part) else {}
    return dict(model.evaluate(*arguments, **weights, verbose=0, return_dict=True))


def _is_dataset(part: Any) -> bool:
    return hasattr(part, "element_spec")


def _arrays(part: Any) -> tuple[Any, ...]:
    arrays = tuple(keras.tree.map_structure(np.asarray, x) for x in part)
    shapes = [x.shape for x in keras.tree.flatten(arrays)]
    valid = len({shape[:1] for shape in shapes}) == 1 and () not in shapes
    check(valid, "data", f"arrays of shapes {shapes}", ALLOWED)
    return arrays


def _count(part: Any) -> int:
    return len(keras.tree.flatten(part)[0])


def _take(part: tuple[Any, ...], places: Any) -> tuple[Any, ...]:
    return keras.tree.map_structure(lambda x: x[places], part)


def _split(part: tuple[Any, ...]) -> tuple[Any, Any]:
    """Splits off a fixed part for validation."""
    order = np.random.default_rng(0).permutation(_count(part))
    count = max(1, round(VALIDATION * len(order)))
    return _take(part, order[count:]), _take(part, order[:count])


def _batches(part: tuple[Any, ...], size: int, seed: int) -> Iterator[tuple[Any, ...]]:
    """Full batches of one permutation after the other; the remainder of each is left out."""
    random = np.random.default_rng(seed)
    while True:
        order = random.permutation(_count(part))
        for begin in range(0, len(order) - size + 1, size):
            yield _take(part, order[begin : begin + size])
