"""Fashion-MNIST, from local files installed by Debian or downloaded by Keras."""

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_gdx.datasets.local import LocalImages

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


class FashionMnistLocal(LocalImages):
    """Zalando's 70,000 photos of clothes: 60,000 to train with and 10,000 to test with.

    The four files are looked for where Debian's package `dataset-fashion-mnist` puts
    them, then where `keras.datasets.fashion_mnist.load_data()` does.
    """

    CLASSES = (
        "t-shirt", "trouser", "pullover", "dress", "coat",
        "sandal", "shirt", "sneaker", "bag", "ankle boot",
    )  # fmt: skip
    INSTALL = (
        "apt-get install dataset-fashion-mnist  (Debian), or  "
        'python -c "import keras; keras.datasets.fashion_mnist.load_data()"  (internet)'
    )

    @classmethod
    def source(cls) -> Path | None:
        """Returns the folder with all four files, or `None` if there is none."""
        keras_home = os.environ.get("KERAS_HOME") or Path("~/.keras").expanduser()
        folders = (DEBIAN, Path(keras_home, "datasets", "fashion-mnist"))
        needed = (*FILES["train"], *FILES["test"])
        return next((d for d in folders if all((d / name).is_file() for name in needed)), None)

    @classmethod
    def read(cls, source: Path, split: str) -> tuple[NDArray[Any], ...]:
        """Returns `(images, labels)` of a split."""
        return tuple(read_idx(source / name) for name in FILES[split])


def read_idx(path: Path) -> NDArray[Any]:
    """Reads a gzipped IDX file of bytes: 2 zeros, type 8, rank, big-endian sizes, data."""
    with gzip.open(path) as file:
        content = file.read()
    rank = content[3]
    shape = np.frombuffer(content, ">u4", count=rank, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
