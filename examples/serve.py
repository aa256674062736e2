"""Exports a trained network; then a program with TensorFlow alone answers and trains it further.

    python examples/serve.py --check

A network learns digits in Keras. `keras_gdx.export` writes it as a SavedModel with two functions:
`serve`, which answers with the averaged weights, and `train_step`, which is the step of `fit`, with
dropout, weight decay, clipping, averages and the state of the optimizer. `examples/served.py` loads
it in another process, in which neither Keras nor keras_gdx can be imported: it answers, trains with
images that the network has not seen, and answers again. Meanwhile the original is trained with the
same images here. With `--check` the program exits with 1 unless the answers of both are the same up
to 1e-5, before and after. It takes a quarter of a minute.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

import keras_gdx
import keras_gdx.datasets
from keras_gdx import optimizers

SIZE = 50  # images in a batch


def make_model(shape):
    """A small network with dropout, and an optimizer that averages the weights."""
    model = keras.Sequential(
        [
            keras.Input(shape, dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.Conv2D(32, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(10, "softmax"),
        ]
    )
    optimizer = optimizers.AdamW(
        2e-3, weight_decay=0.05, global_clipnorm=1.0, use_ema=True, ema_momentum=0.95
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def answers_of(model, images):
    """What the model answers with its averaged weights."""
    with model.optimizer.evaluation_weights():
        return model.predict(images, batch_size=len(images), verbose=0)


def tell(when, answers, labels):
    """Prints how many of the answers are right."""
    print(f"{when}: accuracy {np.mean(answers.argmax(axis=1) == labels):.4f}", flush=True)


def main():
    """Trains, exports, trains further in two programs and compares; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=2, help="before the export (2)")
    parser.add_argument("--out", type=Path, default=Path("runs/serve"), help="folder (runs/serve)")
    parser.add_argument("--data-dir", help="where prepared data is kept")
    parser.add_argument("--check", action="store_true", help="exit with 1 if the answers differ")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    data = keras_gdx.datasets.load(data_dir=args.data_dir)
    (images, labels), test = data.train, data.test
    model = make_model(images.shape[1:])
    seen = len(images) // 2  # the network trains with the other half after the export
    model.fit(images[:seen], labels[:seen], batch_size=SIZE, epochs=args.epochs, verbose=0)
    keras_gdx.export(model, args.out / "saved_model")

    # Here: the same steps in Keras.
    before = answers_of(model, test[0])
    for begin in range(seen, len(images), SIZE):
        model.train_on_batch(images[begin : begin + SIZE], labels[begin : begin + SIZE])
    after = answers_of(model, test[0])

    # There: TensorFlow alone.
    new = {"images": images[seen:], "labels": labels[seen:]}
    np.savez(args.out / "new.npz", **new, questions=test[0], size=SIZE, learning_rate=2e-3)
    program = Path(__file__).with_name("served.py")
    subprocess.run([sys.executable, program, args.out], check=True)
    with np.load(args.out / "answers.npz") as answers:
        tell("answers of the SavedModel, before", answers["before"], test[1])
        tell("answers of the SavedModel, after training further", answers["after"], test[1])
        differences = [
            np.abs(answers["before"] - before).max(),
            np.abs(answers["after"] - after).max(),
        ]
    print("largest differences from Keras: {:.1g} before, {:.1g} after".format(*differences))
    differ = max(differences) > 1e-5
    if args.check and differ:
        print("The answers differ.", file=sys.stderr)
    return int(args.check and differ)


if __name__ == "__main__":
    sys.exit(main())
