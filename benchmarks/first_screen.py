"""The README's picture: a comparison of three ways to train one model.

Run with `python -m benchmarks.first_screen`, which takes some five minutes on two cores and writes
`docs/first_screen.png` and `benchmarks/results/first_screen.json`; with `--draw` it draws the
result that is there.
"""

import argparse
import textwrap
from pathlib import Path

import keras

import keras_gdx
from benchmarks.machine import RESULTS
from keras_gdx.datasets import load

RESULT = RESULTS / "first_screen.json"
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "first_screen.png"
RATES = keras_gdx.LogUniform(1e-3, 1e-1)
COSINE = {"schedule": "cosine", "learning_rate": RATES}


def keras_adam(rate):
    """Keras' Adam."""
    return keras.optimizers.Adam(rate)


STRATEGIES = {
    "Keras' Adam": {"optimizer": keras_adam, "rate": RATES},
    "AdamW, cosine": {"optimizer": "adamw", "weight_decay": 0.01, "learning_rate": COSINE},
    "Muon, cosine": {"optimizer": "muon", "weight_decay": 0.01, "learning_rate": COSINE},
}


def build():
    """A network with one hidden layer."""
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    layers += [keras.layers.Dense(128, "relu"), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input((28, 28, 1)), *layers])


def data():
    """The digits: 4,000 to train on, 1,000 to validate on."""
    digits = load("mnist5k")
    return digits.train, digits.test


def run():
    """Makes the comparison."""
    return keras_gdx.compare(
        build,
        data,
        STRATEGIES,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        budget=keras_gdx.Budget(steps=400),
        batch_size=64,
        evaluations=20,
        trials=6,
        seeds=6,
        max_seeds=12,
    )


def draw(result):
    """Draws the curves under a title with the conditions, and above the verdict."""
    from matplotlib import pyplot, ticker

    figure, axes = pyplot.subplots(figsize=(8, 4.4), layout="constrained")
    result.plot("curves", axes)
    seeds = "-".join(f"{n}" for n in sorted({len(x.finals) for x in result.strategies.values()}))
    axes.set_title(
        f"5,000 handwritten digits, 4,000 to train on; 400 updates; n = {seeds} seeds\n"
        "each with its best of 6 learning rates; median and range",
        fontsize="medium",
    )
    axes.set_xlabel("update")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())
    figure.supxlabel(textwrap.fill(result.verdict, 110), fontsize="small")
    figure.savefig(PICTURE, dpi=110)


def main():
    """Runs the comparison, unless `--draw` is given, and draws it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--draw", action="store_true", help="draw the result that is there")
    if not parser.parse_args().draw:
        result = run()
        print(result)
        result.save(RESULT)
    draw(keras_gdx.Comparison.load(RESULT))


if __name__ == "__main__":
    main()
