"""Fine-tuning: a network trained on five digits is adapted to the other five.

    python examples/finetune.py

A network is trained on the digits 0 to 4. Then it gets a new head and a few images of 5 to 9.
First only the head is trained, then layers are unfrozen from the top down, each with a smaller
learning rate than the one above it, and without weight decay on biases and normalization. For
comparison, the same network is trained from scratch on the same few images.
"""

import argparse

import keras
import numpy as np
from keras import layers

import keras_gdx
import keras_gdx.datasets
from keras_gdx import callbacks, optimizers, schedules


def make_body(shape):
    """Three blocks of convolution and batch normalization."""
    body = keras.Sequential([keras.Input(shape), layers.Rescaling(1 / 255)], name="body")
    for number, filters in enumerate((16, 32, 64), 1):
        block = f"block{number}"
        body.add(layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{block}_conv"))
        body.add(layers.BatchNormalization(momentum=0.9, name=f"{block}_norm"))
        body.add(layers.ReLU())
        body.add(layers.MaxPooling2D())
    body.add(layers.GlobalAveragePooling2D())
    return body


def with_head(body):
    """The body with a head for five classes."""
    return keras.Sequential([body, layers.Dropout(0.2), layers.Dense(5, name="head")])


def train(model, images, labels, epochs, rate, watch=(), **options):
    """Trains with AdamW and a cosine schedule after a warm-up, as long as the run."""
    model.build((None, *images.shape[1:]))
    optimizer = optimizers.AdamW(
        schedules.create("cosine", rate, warmup=0.1),
        weight_decay=0.05,
        no_decay="auto",  # biases and normalization
        **options,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    model.fit(images, labels, batch_size=16, epochs=epochs, verbose=0, callbacks=list(watch))


def some_of_each(images, labels, count):
    """The first images of each class."""
    places = np.concatenate([np.flatnonzero(labels == each)[:count] for each in range(5)])
    return images[places], labels[places]


def main():
    """Trains three times and prints the accuracy of fine-tuning and of training from scratch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--per-class", type=int, default=10, help="images of each new digit (10)")
    parser.add_argument("--epochs", type=int, default=80, help="on those images (80)")
    parser.add_argument("--first-epochs", type=int, default=4, help="on the old digits (4)")
    parser.add_argument("--data-dir", help="where prepared data is kept")
    args = parser.parse_args()
    keras.utils.set_random_seed(0)
    data = keras_gdx.datasets.load(data_dir=args.data_dir)
    old, new = ([(x[y // 5 == h], y[y // 5 == h] % 5) for x, y in (data.train, data.test)]
                for h in (0, 1))  # fmt: skip
    few = some_of_each(*new[0], args.per_class)

    body = make_body(few[0].shape[1:])
    first = with_head(body)
    train(first, *old[0], args.first_epochs, 3e-3)
    print(f"old digits: accuracy {first.evaluate(*old[1], verbose=0)[1]:.4f}", flush=True)

    tuned = with_head(body)
    tuned.build((None, *few[0].shape[1:]))
    third = args.epochs // 6
    stages = {0: "head", third: "block3", third + 1: "block2", third + 2: "block1"}
    multipliers = keras_gdx.layer_decay(tuned, 0.8)
    watch = [callbacks.Unfreezing(stages)]
    train(tuned, *few, args.epochs, 1e-2, watch, lr_multipliers=multipliers)
    tuned_accuracy = tuned.evaluate(*new[1], verbose=0)[1]

    scratch = with_head(make_body(few[0].shape[1:]))
    train(scratch, *few, args.epochs, 1e-2)
    scratch_accuracy = scratch.evaluate(*new[1], verbose=0)[1]
    print(f"new digits, {len(few[0])} images: from nothing {scratch_accuracy:.4f}, "
          f"fine-tuned {tuned_accuracy:.4f}")  # fmt: skip


if __name__ == "__main__":
    main()
