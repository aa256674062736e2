"""The accuracies on the page "Get started": python -m benchmarks.get_started.

It takes data, model and loss from the page, and trains with five seeds.
"""

import re
from pathlib import Path

import keras
import numpy as np

import keras_gdx

PAGE = Path(__file__).resolve().parents[1] / "docs" / "get-started.md"
SEEDS = 5


def three_lines(model):
    """The optimizer of the page."""
    rate = keras_gdx.schedules.create("cosine", 1e-2)
    return keras_gdx.create("adamw", model=model, learning_rate=rate)


WAYS = {
    "Keras' Adam as it comes": lambda model: "adam",
    "Keras' Adam, 0.003": lambda model: keras.optimizers.Adam(0.003),
    "Keras' Adam, 0.01": lambda model: keras.optimizers.Adam(0.01),
    "the three lines": three_lines,
}


def accuracies(page, way):
    """The accuracy on new points for each seed, in percent."""
    for seed in range(SEEDS):
        model = page["build"](seed)
        model.compile(way(model), page["loss"], metrics=["accuracy"])
        model.fit(page["x"], page["y"], epochs=20, batch_size=32, verbose=0)
        yield 100 * model.evaluate(page["x_test"], page["y_test"], verbose=0)[1]


def main():
    """Prints a line for each way to train."""
    page = {}
    exec(re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)[1], page)
    for name, way in WAYS.items():
        found = np.array(list(accuracies(page, way)))
        print(f"{name}: mean {found.mean():.1f} %, from {found.min():.1f} to {found.max():.1f} %")


if __name__ == "__main__":
    main()
