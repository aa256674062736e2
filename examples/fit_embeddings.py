"""Trains a recommender with two tables of more than 100,000 rows each.

The ratings are made here, so nothing is downloaded: users with tastes of low rank, items of 20
genres, popular and rare ones, and noise. With `--check` it exits with 1 unless the error on ratings
that it has not seen is at most 0.68. The noise alone is 0.5, and the means of users and items leave
an error of 0.79. It takes about half a minute on two cores.

    python examples/fit_embeddings.py --check
    python examples/fit_embeddings.py --optimizer keras
"""

import argparse
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

from keras_gdx import optimizers, schedules

USERS, ITEMS, GENRES, RANK, NOISE = 120_000, 110_000, 20, 4, 0.5
TARGET = 0.68


def arguments():
    """Returns the command-line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--optimizer", choices=("ours", "keras"), default="ours", help="keras: its Adam (ours)")
    add("--ratings", type=int, default=3_000_000, help="to train with (3,000,000)")
    add("--epochs", type=int, default=4, help="(4)")
    add("--batch-size", type=int, default=8192, help="(8192)")
    add("--seed", type=int, default=0, help="of ratings, weights and order (0)")
    add("--check", action="store_true", help=f"exit with 1 if the error is above {TARGET}")
    return parser


def make_ratings(count, seed):
    """Random ratings: arrays of indices by name, and the ratings."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, USERS, count)
    popularity = np.cumsum(rng.permutation(1 / np.arange(10, ITEMS + 10) ** 0.6))
    item = np.searchsorted(popularity, popularity[-1] * rng.random(count))
    genre = rng.integers(0, GENRES, ITEMS)
    tastes = rng.normal(size=(USERS, RANK))
    traits = rng.normal(size=(GENRES, RANK))[genre] + 0.3 * rng.normal(size=(ITEMS, RANK))
    liked = np.einsum("ij,ij->i", tastes[user], traits[item]) / RANK**0.5
    means = 0.3 * rng.normal(size=USERS)[user] + 0.3 * rng.normal(size=ITEMS)[item]
    rating = 3.5 + 0.6 * liked + means + NOISE * rng.normal(size=count)
    x = {"user": user, "item": item, "genre": genre[item]}
    return {name: index.astype("int32") for name, index in x.items()}, rating.astype("float32")


def make_model(width=8):
    """The inner product of a user's row and an item's row, and a network on top of them."""
    user, item, genre = (keras.Input((), dtype="int32", name=n) for n in ("user", "item", "genre"))
    u = layers.Embedding(USERS, width, "zeros", name="user_table")(user)
    v = layers.Embedding(ITEMS, width, "zeros", name="item_table")(item)
    of_genre = layers.Embedding(GENRES, width, keras.initializers.RandomNormal(stddev=0.5))(genre)
    v = layers.Add(name="item_vector")([v, of_genre])
    means = [
        layers.Embedding(n, 1, "zeros", name=f"{name}_mean_table")(index)
        for n, name, index in ((USERS, "user", user), (ITEMS, "item", item))
    ]
    product = layers.Multiply(name="product")([u, v])
    x = layers.Dense(32, "relu", name="hidden")(layers.Concatenate()([u, v, product]))
    x = layers.Dense(1, name="head")(x)
    total = keras.ops.sum(product, axis=-1, keepdims=True)
    return keras.Model([user, item, genre], layers.Add(name="rating")([x, total, *means]))


def make_optimizer(updates):
    """Adagrad with one number per row for the tables, AdamW for the rest.

    The loss is a mean over the batch, so the gradients of a row are small: next to the usual first
    value of the accumulator they would be nothing.
    """
    tables = optimizers.Adagrad(0.05, rowwise=True, initial_accumulator_value=0.0, epsilon=1e-14)
    rest = optimizers.AdamW(schedules.Linear(5e-3, updates), weight_decay=0.01)
    return optimizers.Partition({"table": tables}, default=rest, sparse="lazy", state_dtype="int8")


def main():
    """Trains and checks; returns the exit code."""
    args = arguments().parse_args()
    keras.utils.set_random_seed(args.seed)
    held_out = 100_000
    x, y = make_ratings(args.ratings + held_out, args.seed)
    train = {name: index[held_out:] for name, index in x.items()}
    test = {name: index[:held_out] for name, index in x.items()}
    model = make_model()
    updates = args.epochs * -(-args.ratings // args.batch_size)
    adam = keras.optimizers.Adam(schedules.Linear(5e-3, updates))
    model.compile(make_optimizer(updates) if args.optimizer == "ours" else adam, "mse")
    weights = model.count_params()
    print(f"{weights:,} weights, {args.ratings:,} ratings, {updates} updates", flush=True)
    start = time.perf_counter()
    model.fit(train, y[held_out:], batch_size=args.batch_size, epochs=args.epochs, verbose=2)
    seconds = time.perf_counter() - start
    state = sum(v.numpy().nbytes for v in model.optimizer.variables)
    error = model.evaluate(test, y[:held_out], batch_size=args.batch_size, verbose=0) ** 0.5
    print(f"trained in {seconds:.0f} s, with {state / 2**20:.1f} MiB of optimizer state")
    print(f"final error {error:.4f}", flush=True)
    if args.check and error > TARGET:
        print(f"The error is above {TARGET}.", file=sys.stderr)
    return int(args.check and error > TARGET)


if __name__ == "__main__":
    sys.exit(main())
