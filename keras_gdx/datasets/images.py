"""Labeled images as arrays, and the function that loads them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import random
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from os import PathLike
from typing import Annotated, Any

import numpy as np
import tensorflow_datasets as tfds
from annotated_types import Interval
from numpy.typing import NDArray

from keras_gdx.arguments import PositiveInt, check_name, check_type
from keras_gdx.datasets.fashion_mnist import FashionMnistLocal
from keras_gdx.datasets.mnist5k import Mnist5k

# In the order of preference of "auto". The digits come first because they are the same small
# file on every platform, so results do not depend on what else is installed.
LOCAL = {"mnist5k": Mnist5k, "fashion_mnist": FashionMnistLocal}

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Images:
    """Labeled images in memory.

    Attributes:
        name: Name of the data set.
        train: `(images, labels)`: uint8 of shape (n, height, width, channels), and
            int64 of shape (n,).
        test: The same for the held-out images.
        classes: Name of each class.
    """

    name: str
    train: tuple[Array, Array]
    test: tuple[Array, Array]
    classes: tuple[str, ...]

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits of a hash of all pixels, labels and their order."""
        digest = hashlib.sha256()
        for array in (*self.train, *self.test):
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()[:12]

    def fold(self, k: int, of: int = 5) -> Images:
        """Returns one fold of a cross-validation on the training images alone.

        Args:
            k: Index of the fold that is held out, from 0 to `of - 1`.
            of: Number of folds. Each has the same fraction of every class.

        Returns:
            `Images` with the held-out fold as `test`; the original test images are not used.
        """
        check_type("of", of, PositiveInt)
        check_type("k", k, Annotated[int, Interval(ge=0, lt=of)])
        images, labels = self.train
        rank_in_class = np.zeros_like(labels)
        for label in np.unique(labels):
            rank_in_class[labels == label] = np.arange(np.sum(labels == label))
        held_out = rank_in_class % of == k
        return replace(
            self,
            name=f"{self.name}, fold {k} of {of}",
            train=(images[~held_out], labels[~held_out]),
            test=(images[held_out], labels[held_out]),
        )


def load(
    name: str = "auto", data_dir: str | PathLike[str] | None = None, progress: bool = False
) -> Images:
    """Loads labeled images from this machine; `"tfds:NAME"` may download them.

    Args:
        name: `"mnist5k"` (5,000 handwritten digits), `"fashion_mnist"` (70,000 photos of
            clothes), or `"auto"`, the first of these that is installed, in this order.
            `"tfds:NAME"` loads any data set of TensorFlow Datasets with one class per
            image and images of one size, and downloads it if necessary.
        data_dir: Path of the folder for prepared data; by default that of TensorFlow
            Datasets (`TFDS_DATA_DIR` or `~/tensorflow_datasets`).
        progress: Whether to show TensorFlow Datasets' messages and progress bars.

    Raises:
        ValueError: If the name is unknown, or `tfds:NAME` is not a data set of labeled images.
        FileNotFoundError: If the data is not on this machine; the message says how to
            get it.
        ModuleNotFoundError: If `tfds:NAME` needs a package that is missing.

    Example:
        >>> import keras_gdx.datasets
        >>> digits = keras_gdx.datasets.load("mnist5k")
        >>> digits.train[0].shape, digits.test[0].shape
        ((4000, 28, 28, 1), (1000, 28, 28, 1))
    """
    check_type("name", name, str)
    if not name.startswith("tfds:"):
        check_name("name", name, ("auto", *LOCAL, "tfds:NAME"))
    tfds.display_progress_bar(progress)
    with contextlib.redirect_stdout(sys.stdout if progress else io.StringIO()):
        if name.startswith("tfds:"):
            return _read(name, _from_tfds(name.removeprefix("tfds:"), data_dir))
        if name in LOCAL:
            return _read(name, LOCAL[name](data_dir=data_dir))
        for key, cls in LOCAL.items():
            builder = cls(data_dir=data_dir)
            if builder.is_prepared() or builder.source():
                return _read(key, builder)
    commands = "".join(f"\n  {key}: {cls.INSTALL}" for key, cls in LOCAL.items())
    raise FileNotFoundError(f"There are no images on this machine. Get some:{commands}")


def _from_tfds(name: str, data_dir: str | PathLike[str] | None) -> Any:
    if not find_spec("importlib_resources"):  # tensorflow-datasets needs it but does not install it
        raise ModuleNotFoundError(
            f"tfds:{name} needs importlib_resources: pip install importlib_resources",
            name="importlib_resources",
        )
    builder = tfds.builder(name, data_dir=data_dir, try_gcs=False)
    if not _is_images(builder.info):
        raise ValueError(f"tfds:{name} is not made of uint8 images of one size with one class each")
    return builder


def _is_images(info: Any) -> bool:
    match info.supervised_keys:
        case (str(image), str(label)):
            image, label = info.features[image], info.features[label]
            return (
                isinstance(label, tfds.features.ClassLabel)
                and image.np_dtype == np.uint8
                and len(image.shape) == 3
                and None not in image.shape
            )
    return False


def _read(name: str, builder: Any) -> Images:
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    state = random.getstate()  # preparing consumes random numbers; keep seeds reproducible
    try:
        builder.download_and_prepare(download_config=config)
    finally:
        random.setstate(state)
    held_out = "test" if "test" in builder.info.splits else "validation"
    train, test = (
        tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1, as_supervised=True))
        for split in ("train", held_out)
    )
    classes = tuple(builder.info.features[builder.info.supervised_keys[1]].names)
    return Images(name, train, test, classes)
