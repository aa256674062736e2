"""A training loop of one's own that can be killed, with everything that `fit` does around a step.

    python examples/own_loop.py             # trains; press Ctrl-C or kill it, and run it again
    python examples/own_loop.py --check     # exits with 1 unless the accuracy is at least 0.96
    python examples/own_loop.py --kill 3    # kills itself with SIGKILL, and compares the weights

The step is plain TensorFlow: a loss, `tf.gradients` inside a `tf.function`, `apply_gradients`. Two
batches make an update, the learning rate follows a cosine as long as the run, and what is evaluated
is a moving average of the weights. `keras_gdx.TrainingLoop` takes care of all of it. On 1,000
held-out digits it reaches 96.7 % on average over five seeds, 96.5 % at worst, in half a minute.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from killing import ends_the_same

import keras_gdx
import keras_gdx.datasets
from keras_gdx import optimizers, schedules
from keras_gdx.callbacks import ResumableCheckpoint

TARGET = 0.96


def make_model(shape):
    """A small convolutional network, and the optimizer that will train it."""
    model = keras.Sequential(
        [
            keras.Input(shape),
            layers.Rescaling(1 / 255),
            layers.RandomTranslation(0.1, 0.1, fill_mode="constant"),
            layers.Conv2D(32, 3, strides=2, activation="relu"),
            layers.Conv2D(64, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(10),
        ]
    )
    rate = schedules.create("cosine", 4e-3, warmup=0.1)  # its length is that of the loop
    model.compile(
        optimizers.AdamW(
            rate,
            weight_decay=0.01,
            gradient_accumulation_steps=2,
            use_ema=True,
            ema_momentum=0.98,
        )
    )
    return model


def make_step(model):
    """What is done with one batch."""
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    weights = model.trainable_variables

    @tf.function
    def step(images, labels):
        loss = loss_of(labels, model(images, training=True))
        gradients = tf.gradients(loss, [w.value for w in weights])  # or a `tf.GradientTape`
        model.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return loss

    return step


def accuracy(model, images, labels):
    """The share of images that the model gets right."""
    answers = model.predict_on_batch(images).argmax(axis=1)
    return np.mean(answers == labels)


def train(folder, epochs, seed=0):
    """Trains to the end from the checkpoint in `folder`; returns the last accuracy."""
    keras.utils.set_random_seed(seed)
    data = keras_gdx.datasets.load()
    model = make_model(data.train[0].shape[1:])
    step = make_step(model)
    survive = ResumableCheckpoint(folder / "checkpoints", every="10 steps", verbose=1)
    with keras_gdx.TrainingLoop(
        model, *data.train, batch_size=16, epochs=epochs, callbacks=[survive]
    ) as loop:
        for epoch in loop.epochs():
            for images, labels in loop.batches():
                loop.log(loss=step(images, labels))
            trained = accuracy(model, *data.test)
            with loop.evaluating():
                loop.log(accuracy=accuracy(model, *data.test))
            print(
                f"epoch {epoch + 1}: loss {loop.logs['loss']:.4f}, accuracy {trained:.4f}, "
                f"of averaged weights {loop.logs['accuracy']:.4f}",
                flush=True,
            )
    np.savez(folder / "weights.npz", *model.get_weights())  # the averages, as after `fit`
    return loop.history["accuracy"][-1]


def main():
    """Trains and checks, or trains whole and killed; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--folder", type=Path, default=Path("runs/own_loop"), help="(runs/own_loop)")
    add("--epochs", type=int, default=6, help="(6)")
    add("--seed", type=int, default=0, help="of weights, order and augmentation (0)")
    add("--check", action="store_true", help=f"exit with 1 if the accuracy is under {TARGET}")
    add("--kill", type=int, metavar="N", help="kill it N times and compare")
    args = parser.parse_args()
    if args.kill is not None:
        whole = partial(train, epochs=args.epochs, seed=args.seed)
        options = ["--epochs", str(args.epochs), "--seed", str(args.seed)]
        return int(not ends_the_same(whole, args.kill, __file__, *options))
    reached = train(args.folder, args.epochs, args.seed)
    print(f"final accuracy {reached:.4f}")
    if args.check and reached < TARGET:
        print(f"The accuracy is under {TARGET}.", file=sys.stderr)
    return int(args.check and reached < TARGET)


if __name__ == "__main__":
    sys.exit(main())
