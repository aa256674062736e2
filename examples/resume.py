"""Kill it and start it again: training resumes bit for bit.

    python examples/resume.py             # trains; press Ctrl-C or kill it, and run it again
    python examples/resume.py --kill 5    # does that by itself with SIGKILL, and compares

It uses real images, dropout, augmentation, shuffling, accumulated gradients, a cosine schedule and
a plateau controller, whose state is usually lost.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import keras
import numpy as np
from killing import ends_the_same

import keras_gdx.datasets
from keras_gdx import callbacks, optimizers, schedules


def build(shape):
    """A small convolutional network that draws random numbers in every step."""
    model = keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Rescaling(1 / 255),
            keras.layers.RandomTranslation(0.1, 0.1),
            keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Conv2D(32, 3, strides=2, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(10),
        ]
    )
    rate = schedules.create("cosine", 3e-3)
    optimizer = optimizers.AdamW(rate, weight_decay=0.01, gradient_accumulation_steps=2)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def train(folder, epochs):
    """Trains to the end from the checkpoint in `folder`, and saves the weights there."""
    keras.utils.set_random_seed(0)
    data = keras_gdx.datasets.load()
    model = build(data.train[0].shape[1:])
    say = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: print(
            f"epoch {epoch + 1}: loss {logs['loss']:.6f}, accuracy {logs['val_accuracy']:.4f}",
            flush=True,
        )
    )
    watch = [
        callbacks.PlateauController("val_loss", patience=2),
        callbacks.ResumableCheckpoint(folder / "checkpoints", every="10 steps", verbose=1),
    ]
    model.fit(
        *data.train,
        batch_size=64,
        epochs=epochs,
        verbose=0,
        validation_data=data.test,
        callbacks=[say, *watch],
    )
    np.savez(folder / "weights.npz", *model.get_weights())


def main():
    """Trains, or trains whole and killed and compares the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/resume"))
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--kill", type=int, metavar="N", help="kill it N times and compare")
    options = parser.parse_args()
    if options.kill is None:
        train(options.folder, options.epochs)
        return
    whole = partial(train, epochs=options.epochs)
    sys.exit(not ends_the_same(whole, options.kill, __file__, "--epochs", str(options.epochs)))


if __name__ == "__main__":
    main()
