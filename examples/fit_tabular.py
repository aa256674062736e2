"""Predicts how far cars go on a gallon, from a small table: an ensemble for the price of one run.

Auto MPG has 392 cars and seven numbers for each (UCI; mlxtend brings it, so nothing is downloaded).
A network is trained twice for the same number of steps: by Keras' Adam, and by AdamW whose learning
rate falls to 0 and starts again, several times. `SnapshotEnsemble` keeps the weights at the end of
each cycle, and the mean of their predictions is better than any one of them.

    pip install --no-deps mlxtend
    python examples/fit_tabular.py --check

All is decided by cross-validation on 300 cars: each is predicted by networks that have not seen it.
STATED
"""

import argparse
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from keras_gdx import optimizers, schedules
from keras_gdx.callbacks import SnapshotEnsemble

CYCLES, PASSES, BATCH = 5, 30, 32  # of the learning rate; over the data in each; cars in a batch
FOLDS = 5
TARGET = 0.97


def load():
    """The table, in an order by chance: seven columns, the origin as three, and the miles."""
    try:
        from mlxtend.data import autompg_data
    except ModuleNotFoundError as error:
        sys.exit(f"{error}: pip install --no-deps mlxtend")
    x, y = autompg_data()
    x = np.column_stack([x[:, :6], x[:, 6:7] == [1, 2, 3]]).astype("float32")
    order = np.random.default_rng(0).permutation(len(x))
    return x[order], y[order].astype("float32")


def make_model():
    """Two hidden layers."""
    hidden = [layers.Dense(32, "gelu"), layers.Dense(32, "gelu")]
    return keras.Sequential([keras.Input((9,)), *hidden, layers.Dense(1)])


def batches(x, y):
    """The batches of a cycle: several passes over the data, each in another order."""
    data = tf.data.Dataset.from_tensor_slices((x, y[:, None])).cache().shuffle(len(x))
    return data.repeat(PASSES).batch(BATCH)


def fit(model, optimizer, x, y, *callbacks):
    """Trains for all cycles, as Keras does it."""
    model.compile(optimizer, "mse", steps_per_execution=16)  # small steps: 16 of them in one call
    data = batches(x, y)
    model.fit(data, epochs=CYCLES, shuffle=False, verbose=0, callbacks=[*callbacks])


def by_adam(x, y, questions):
    """What a network says that was trained by Keras' Adam, at the best of three constant rates."""
    model = make_model()
    fit(model, keras.optimizers.Adam(1e-3), x, y)
    return model.predict(questions, verbose=0)


def by_ensemble(x, y, questions):
    """What the networks of one run say on average, one from the end of each cycle."""
    model = make_model()
    steps = len(batches(x, y))
    rate = schedules.CosineRestarts(1e-2, steps)
    members = SnapshotEnsemble(every=1, keep=CYCLES - 1)  # the first one has not learned enough
    fit(model, optimizers.AdamW(rate, weight_decay=0.1), x, y, members)
    return members.predict(questions, verbose=0)


def predicted(method, x, y, questions, seed):
    """The answers of one of the methods; it sees columns with mean 0 and deviation 1."""
    keras.utils.set_random_seed(seed)
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    answers = method(
        (x - mean) / deviation, (y - y.mean()) / y.std(), (questions - mean) / deviation
    )
    return answers[:, 0] * y.std() + y.mean()


def cross_validated(method, x, y, seed):
    """Predictions of every row, each by networks that were trained without it."""
    answers = np.empty_like(y)
    for fold in np.array_split(np.arange(len(x)), FOLDS):
        rest = np.setdiff1d(np.arange(len(x)), fold)
        answers[fold] = predicted(method, x[rest], y[rest], x[fold], seed)
    return answers


def error_of(answers, y):
    """The root of the mean square."""
    return float(np.sqrt(np.mean((answers - y) ** 2)))


def main():
    """Cross-validates both, and predicts cars that were put aside; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=300, help="cars to train with (300)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (0)")
    parser.add_argument("--check", action="store_true", help=f"exit with 1 above {TARGET}")
    args = parser.parse_args()
    x, y = load()
    train, test = (x[: args.rows], y[: args.rows]), (x[300:], y[300:])
    errors = {}
    for name, method in (("Adam", by_adam), ("snapshots", by_ensemble)):
        errors[name] = error_of(cross_validated(method, *train, args.seed), train[1])
        aside = error_of(predicted(method, *train, test[0], args.seed), test[1])
        print(f"{name}: error {errors[name]:.3f} miles per gallon by cross-validation, "
              f"{aside:.3f} on {len(test[0])} other cars", flush=True)  # fmt: skip
    ratio = errors["snapshots"] / errors["Adam"]
    print(f"final ratio of errors {ratio:.3f}")
    if args.check and ratio > TARGET:
        print(f"The ratio is above {TARGET}.", file=sys.stderr)
    return int(args.check and ratio > TARGET)


if __name__ == "__main__":
    sys.exit(main())
