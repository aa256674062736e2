"""Small tasks of different kinds, for comparisons of optimizers: models and real data, offline.

Each task is a function that returns a model, one that returns data, and the loss.
"""

import string
from pydoc_data.topics import topics
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers

import keras_gdx.datasets

CHARACTERS = {c: i for i, c in enumerate(string.printable)}
CONTEXT, USERS, ITEMS = 32, 2000, 800


class Task(NamedTuple):
    """A model, data and a loss; `steps` is the budget of a run."""

    build: Any
    data: Any
    loss: Any
    steps: int = 300


def digits():
    """Handwritten digits as images."""
    loaded = keras_gdx.datasets.load("mnist5k")
    return tuple((x.astype("float32") / 255, y) for x, y in (loaded.train, loaded.test))


def digit_pixels():
    """The same as vectors, to be reproduced."""
    return tuple((x.reshape(len(x), -1), x.reshape(len(x), -1)) for x, _ in digits())


def signals():
    """Ten shapes of one-dimensional signals: MNIST-1D (arXiv:2011.14439), from its package."""
    from mnist1d.data import get_dataset_args, make_dataset

    made = make_dataset(get_dataset_args())
    return tuple(
        (made[x].astype("float32"), made[y]) for x, y in (("x", "y"), ("x_test", "y_test"))
    )


def cars():
    """Fuel consumption of cars, by seven numbers (UCI, Auto MPG)."""
    from mlxtend.data import autompg_data

    x, y = autompg_data()
    x, y = np.delete(x, -1, axis=1).astype("float32"), y.astype("float32")[:, None]
    order = np.random.default_rng(0).permutation(len(x))
    x, y = ((a - a.mean(axis=0)) / a.std(axis=0) for a in (x, y))
    return tuple((x[part], y[part]) for part in (order[80:], order[:80]))


def text():
    """Characters of Python's own documentation, each to be predicted from those before."""
    joined = "".join(topics[name] for name in sorted(topics))
    codes = np.array([CHARACTERS[c] for c in joined if c in CHARACTERS], "int32")
    rows = codes[: len(codes) // (CONTEXT + 1) * (CONTEXT + 1)].reshape(-1, CONTEXT + 1)
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    return tuple((part[:, :-1], part[:, 1:]) for part in (rows[300:], rows[:300]))


def ratings():
    """Ratings of items by users: low rank, popular items more often, noise."""
    random = np.random.default_rng(0)
    users, items = random.normal(size=(USERS, 6)), random.normal(size=(ITEMS, 6))
    pairs = np.stack(
        [random.integers(USERS, size=60_000), ITEMS * random.random(60_000) ** 2], axis=1
    ).astype("int32")
    values = (users[pairs[:, 0]] * items[pairs[:, 1]]).sum(axis=1) / 6**0.5
    values = (values + 0.3 * random.normal(size=len(values))).astype("float32")[:, None]
    return (pairs[5000:], values[5000:]), (pairs[:5000], values[:5000])


def convolutional():
    blocks = [
        layer
        for filters in (16, 32)
        for layer in (layers.Conv2D(filters, 3, activation="relu"), layers.MaxPooling2D())
    ]
    head = [layers.Flatten(), layers.Dense(10)]
    return keras.Sequential([keras.Input((28, 28, 1)), *blocks, *head])


def signal_network():
    blocks = [layers.Conv1D(25, 5, 2, "same", activation="relu") for _ in range(3)]
    head = [layers.Flatten(), layers.Dense(10)]
    return keras.Sequential([keras.Input((40,)), layers.Reshape((40, 1)), *blocks, *head])


def autoencoder():
    sizes = [layers.Dense(n, "relu") for n in (128, 32, 128)]
    return keras.Sequential([keras.Input((784,)), *sizes, layers.Dense(784)])


def regression():
    hidden = [layers.Dense(64, "relu") for _ in range(2)]
    return keras.Sequential([keras.Input((7,)), *hidden, layers.Dense(1)])


def transformer():
    tokens = keras.Input((CONTEXT,), dtype="int32")
    x = layers.Embedding(len(CHARACTERS), 64)(tokens)
    x += layers.Embedding(CONTEXT, 64)(keras.ops.arange(CONTEXT))
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x += layers.MultiHeadAttention(4, 16)(y, y, use_causal_mask=True)
        y = layers.Dense(256, "gelu")(layers.LayerNormalization()(x))
        x += layers.Dense(64)(y)
    x = layers.LayerNormalization()(x)
    return keras.Model(tokens, layers.Dense(len(CHARACTERS))(x))


def factors():
    pairs = keras.Input((2,), dtype="int32")
    user = layers.Embedding(USERS, 16)(pairs[:, 0])
    item = layers.Embedding(ITEMS, 16)(pairs[:, 1])
    x = layers.Concatenate()([user, item, user * item])
    return keras.Model(pairs, layers.Dense(1)(layers.Dense(32, "relu")(x)))


def linear():
    return keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(10)])


CLASSES = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
TASKS = {
    "digits, convolutional": Task(convolutional, digits, CLASSES),
    "signals, convolutional": Task(signal_network, signals, CLASSES, 600),
    "digits, autoencoder": Task(autoencoder, digit_pixels, "mse"),
    "cars, dense": Task(regression, cars, "mse"),
    "characters, transformer": Task(transformer, text, CLASSES),
    "ratings, embeddings": Task(factors, ratings, "mse", 600),
    "digits, convex": Task(linear, digits, CLASSES),
}
