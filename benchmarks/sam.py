"""SAM and LookSAM on handwritten digits: the test errors for equal epochs and equal time.

Run with `python -m benchmarks.sam`. A small convolutional network is trained on 1,000 images and
tested on others, five times with each method: SGD; SGD with SAM and with LookSAM, for as many
epochs, over the papers' range of `rho`; and SGD for twice as many epochs, which computes as many
gradients as SAM. Times are those of the processor, summed over its cores, for
a step after the first epoch.
"""

import argparse
import os
import statistics
import time
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from keras import layers

import keras_gdx
import keras_gdx.datasets
from benchmarks.machine import save

IMAGES, BATCH_SIZE = 1000, 50


class Clock(keras.callbacks.Callback):
    """Measures the steps after the first epoch, in which they are compiled."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            self.begin = time.process_time()

    def on_train_end(self, logs=None):
        steps = self.params["steps"] * (self.params["epochs"] - 1)
        self.milliseconds = 1000 * (time.process_time() - self.begin) / steps


def train(data, test, seed, epochs, extend):
    """The test error and the milliseconds per step of one run, on a model that `extend` returns."""
    keras.utils.set_random_seed(seed)
    blocks = [
        layer
        for filters in (16, 32)
        for layer in (layers.Conv2D(filters, 3, activation="relu"), layers.MaxPooling2D())
    ]
    head = [layers.Flatten(), layers.Dense(64, "relu"), layers.Dense(10)]
    net = keras.Sequential([keras.Input((28, 28, 1)), layers.Rescaling(1 / 255), *blocks, *head])
    optimizer = keras_gdx.optimizers.SGD(
        keras_gdx.schedules.create("cosine", 0.05, warmup=0.1), momentum=0.9, weight_decay=5e-4
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    extend(net).compile(optimizer, loss, metrics=["accuracy"])
    clock = Clock()
    net.fit(*data, epochs=epochs, batch_size=BATCH_SIZE, verbose=0, callbacks=[clock])
    _, accuracy = net.evaluate(*test, batch_size=500, verbose=0)
    return 1 - accuracy, clock.milliseconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args()
    loaded = keras_gdx.datasets.load("mnist5k")
    data = [a[:IMAGES] for a in loaded.train]
    rows = []
    for name, epochs, extension, rho in (
        ("SGD", arguments.epochs, keras_gdx.SAM, 0.0),
        *(
            (f"{extension.__name__}, rho {rho}", arguments.epochs, extension, rho)
            for extension in (keras_gdx.SAM, keras_gdx.LookSAM)
            for rho in (0.05, 0.1, 0.2)
        ),
        ("SGD, twice the epochs", 2 * arguments.epochs, keras_gdx.SAM, 0.0),
    ):
        extend = partial(extension, rho=rho)
        runs = [train(data, loaded.test, s, epochs, extend) for s in range(arguments.seeds)]
        errors, times = zip(*runs, strict=True)
        row = {
            "method": name,
            "epochs": epochs,
            "rho": rho,
            "errors": errors,
            "mean": statistics.mean(errors),
            "deviation": statistics.stdev(errors),
            "milliseconds": statistics.median(times),
        }
        print(
            f"{name:22} {epochs} epochs: test error {100 * row['mean']:.2f} % "
            f"+- {100 * row['deviation']:.2f}, {row['milliseconds']:.1f} ms per step",
            flush=True,
        )
        rows.append(row)
    save("sam", {"images": IMAGES, "seeds": arguments.seeds, "runs": rows})


if __name__ == "__main__":
    main()
