"""Labelled images as arrays, and the one function that gets them."""

import contextlib
import hashlib
import io
import random
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec

import numpy as np
import tensorflow_datasets as tfds

from keras_gdx.datasets.fashion_mnist import FashionMnistLocal
from keras_gdx.datasets.mnist5k import Mnist5k

# In the order of preference of "auto". The digits come first because they are the same small
# file on every platform: what else happens to be installed must not change what a result means.
LOCAL = {"mnist5k": Mnist5k, "fashion_mnist": FashionMnistLocal}


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images in memory.

    Attributes:
        name: What was loaded.
        train: `(images, labels)`: uint8 of shape (n, height, width, channels), and
            int64 of shape (n,).
        test: The same for the images that are held out.
        classes: What each label means.
    """

    name: str
    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    classes: tuple[str, ...]

    @cached_property
    def fingerprint(self):
        """Twelve digits that differ when any pixel, label or position in either split does."""
        digest = hashlib.sha256()
        for array in (*self.train, *self.test):
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()[:12]

    def fold(self, k, of=5):
        """Splits the training images alone, so that choices can be made without the test images.

        Args:
            k: Which part of the training images takes the place of the test images,
                from 0 to `of - 1`.
            of: Number of parts. Each has the same share of every class.

        Returns:
            `Images` without the present test images.
        """
        if not 0 <= k < of:
            raise ValueError(f"Argument `k` must be in [0, {of - 1}]. Received: k={k!r}")
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


def load(name="auto", data_dir=None, progress=False):
    """Loads labelled images that are on this machine; from the network only if told to.

    Args:
        name: `"mnist5k"` (5,000 handwritten digits), `"fashion_mnist"` (70,000 photos of
            clothes), or `"auto"`: the first of these that is there, in this order.
            `"tfds:NAME"` takes any data set of TensorFlow Datasets with one class per
            image and images of one size, and downloads it if need be.
        data_dir: Where prepared data is kept; by default where TensorFlow Datasets
            keeps it (`TFDS_DATA_DIR` or `~/tensorflow_datasets`).
        progress: Whether to show TensorFlow Datasets' messages and progress bars.

    Raises:
        ValueError: If there is no such data, or `tfds:NAME` is something else than images.
        FileNotFoundError: If the data is not on this machine; the message says how to
            get it.
        ModuleNotFoundError: If `tfds:NAME` needs a package that is missing.

    Example:
        >>> import keras_gdx.datasets
        >>> digits = keras_gdx.datasets.load("mnist5k")
        >>> digits.train[0].shape, digits.test[0].shape
        ((4000, 28, 28, 1), (1000, 28, 28, 1))
    """
    if name != "auto" and name not in LOCAL and not name.startswith("tfds:"):
        allowed = ", ".join(map(repr, ("auto", *LOCAL, "tfds:NAME")))
        raise ValueError(f"Argument `name` must be one of {allowed}. Received: name={name!r}")
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


def _from_tfds(name, data_dir):
    if not find_spec("importlib_resources"):  # tensorflow-datasets imports it without asking for it
        raise ModuleNotFoundError(
            f"tfds:{name} needs importlib_resources: pip install importlib_resources",
            name="importlib_resources",
        )
    builder = tfds.builder(name, data_dir=data_dir, try_gcs=False)
    if not _is_images(builder.info):
        raise ValueError(f"tfds:{name} is not made of uint8 images of one size with one class each")
    return builder


def _is_images(info):
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


def _read(name, builder):
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    state = random.getstate()  # preparing draws from it, and seeds must mean the same in every run
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
