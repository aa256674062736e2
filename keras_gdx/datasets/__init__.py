"""Small image data sets for examples and tests, read with TensorFlow Datasets from local files.

`keras_gdx` does not import this module: use `import keras_gdx.datasets`.
"""

try:
    import tensorflow_datasets.core  # noqa: F401 - raises a clear error; the package itself is lazy
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"keras_gdx.datasets cannot be used ({error}): "
        "pip install tensorflow-datasets importlib_resources",
        name=error.name,
    ) from error

from keras_gdx.datasets.fashion_mnist import FashionMnistLocal
from keras_gdx.datasets.images import Images, load
from keras_gdx.datasets.mnist5k import Mnist5k

__all__ = ["FashionMnistLocal", "Images", "Mnist5k", "load"]
