"""Trains a small convolutional network on real images with keras_gdx.

With the defaults it reaches at least 97.5 % accuracy on 1,000 held-out handwritten digits, in about
a minute on two cores. The images need no download, see `keras_gdx.datasets`.

    python examples/fit_images.py
    python examples/fit_images.py --optimizer lion --learning-rate 3e-4 --schedule wsd
    python examples/fit_images.py --optimizer keras:adam --fold 0
"""

import argparse
import math
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from common import largest_difference, plot
from keras import layers

import keras_gdx
import keras_gdx.datasets
from keras_gdx import callbacks, regularizers, schedules

TARGETS = {"mnist5k": 0.975}
SCHEDULES = {
    "constant": lambda peak, updates: peak,
    "cosine": schedules.Cosine,
    "linear": schedules.Linear,
    "power": lambda peak, updates: schedules.PowerDecay(peak, beta=9 / updates, gamma=1.0),
    "wsd": lambda peak, updates: schedules.WarmupStableDecay(
        peak, 0, updates - updates // 4, updates // 4, shape="1-sqrt"
    ),
}
REGULARIZERS = {
    "none": None,
    "lp": lambda strength: regularizers.Lp(p=1.5, factor=strength),
    "group_lasso": regularizers.GroupLasso,
}


def arguments():
    """Returns the command-line parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--dataset", default="auto", help="auto, mnist5k, fashion_mnist, or tfds:NAME (network)")
    add("--data-dir", help="where prepared data is kept; by default where tfds keeps it")
    add("--fold", type=int, choices=range(5), help="test on a fifth of the training images instead")
    add("--limit", type=int, help="train on so many images only")
    add("--optimizer", default="muon", help="a name of keras_gdx.list(), or keras:NAME (muon)")
    add("--learning-rate", type=float, help="at its peak; by default the optimizer's own")
    add("--weight-decay", type=float, help="by default the optimizer's own")
    add("--schedule", choices=SCHEDULES, default="cosine", help="(cosine)")
    add("--warmup", type=float, default=0.05, help="fraction of all updates (0.05)")
    add("--regularizer", choices=REGULARIZERS, default="none", help="of all kernels (none)")
    add("--strength", type=float, default=1e-4, help="of the regularizer (1e-4)")
    add("--plateau", action="store_true", help="halve the rate where the training loss rests")
    add("--epochs", type=int, default=10, help="(10)")
    add("--batch-size", type=int, default=64, help="(64)")
    add("--accumulate", type=int, help="batches per update")
    add("--clip", type=float, help="largest norm of all gradients together")
    add("--seed", type=int, default=0, help="of weights, order and augmentation (0)")
    add("--out", type=Path, default=Path("runs/fit_images"), help="folder (runs/fit_images)")
    add("--check", action="store_true", help="exit with 1 if the accuracy is under the target")
    add("--target", type=float, help="by default 0.975 for mnist5k")
    return parser


def training_batches(images, labels, size, seed):
    """Shuffled batches of images, shifted, rotated and zoomed a little, differently each time."""
    # Not layers of the model: an exported program would still transform its inputs.
    augment = keras.Sequential(
        [
            layers.RandomTranslation(0.1, 0.1, fill_mode="constant", seed=seed),
            layers.RandomRotation(0.03, fill_mode="constant", seed=seed + 1),
            layers.RandomZoom(0.1, 0.1, fill_mode="constant", seed=seed + 2),
        ]
    )
    batches = tf.data.Dataset.from_tensor_slices((images, labels))
    batches = batches.shuffle(len(images), seed=seed).batch(size)
    return batches.map(lambda x, y: (tf.cast(augment(x, training=True), x.dtype), y)).prefetch(2)


def make_model(shape, classes):
    """A network of five convolutions on 8-bit images."""
    model = keras.Sequential(
        [keras.Input(shape, dtype="uint8", name="image"), layers.Rescaling(1 / 255)]
    )
    for filters, depth in ((32, 2), (64, 2), (128, 1)):
        for _ in range(depth):
            model.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dropout(0.4))
    model.add(layers.Dense(classes, activation="softmax"))
    return model


def make_optimizer(args, model, batches):
    """The optimizer by name, with a schedule over the complete run."""
    theirs = args.optimizer.startswith("keras:")
    name = args.optimizer.removeprefix("keras:")

    def create(**config):
        if theirs:
            return keras.optimizers.get({"class_name": name, "config": config})
        return keras_gdx.create(name, model=model, **config)

    # Our schedules count updates, those inside Keras' optimizers count batches.
    updates = args.epochs * math.ceil(batches / (1 if theirs else args.accumulate or 1))
    warmup = round(args.warmup * updates)
    peak = float(create().learning_rate) if args.learning_rate is None else args.learning_rate
    rate = SCHEDULES[args.schedule](peak, updates - warmup)
    options = {
        "learning_rate": schedules.Warmup(rate, warmup) if warmup else rate,
        "weight_decay": args.weight_decay,
        "global_clipnorm": args.clip,
        "gradient_accumulation_steps": args.accumulate,
    }
    return create(**{option: value for option, value in options.items() if value is not None})


def plain_line(epoch, logs):
    """Prints an epoch in one line."""
    print(f"epoch {epoch + 1:3d}", *(f"{k} {v:.4g}" for k, v in logs.items()), sep="  ", flush=True)


def fit(args, model, images, labels, held_out):
    """Trains the model; returns the history."""
    watchers = [callbacks.HyperparameterLogger(["learning_rate"])]
    if args.plateau:  # on the training loss, because held-out images must not influence training
        watchers.append(callbacks.PlateauController(monitor="loss", factor=0.5, patience=2))
    watchers.append(keras.callbacks.CSVLogger(args.out / "history.csv"))
    terminal = sys.stdout.isatty()
    if not terminal:
        watchers.append(keras.callbacks.LambdaCallback(on_epoch_end=plain_line))
    start = time.perf_counter()
    history = model.fit(
        training_batches(images, labels, args.batch_size, args.seed),
        epochs=args.epochs,
        validation_data=held_out,
        callbacks=watchers,
        shuffle=False,  # the pipeline shuffles
        verbose=1 if terminal else 0,
    )
    print(f"trained in {time.perf_counter() - start:.0f} s")
    return history.history


def main():
    """Trains, evaluates, saves and checks; returns the exit code."""
    parser = arguments()
    args = parser.parse_args()
    keras.utils.set_random_seed(args.seed)
    try:
        data = keras_gdx.datasets.load(args.dataset, args.data_dir)
        target = TARGETS.get(data.name) if args.target is None else args.target
        if args.check and target is None:
            raise ValueError(f"--check needs a --target for {data.name}")
        data = data if args.fold is None else data.fold(args.fold)
        images, labels = (array[: args.limit] for array in data.train)
        model = make_model(images.shape[1:], len(data.classes))
        optimizer = make_optimizer(args, model, math.ceil(len(images) / args.batch_size))
    except (ValueError, TypeError, FileNotFoundError, ModuleNotFoundError) as error:
        parser.error(str(error))
    counts = f"{len(images)} images to train with, {len(data.test[0])} held out"
    print(f"data: {data.name}, {counts}, fingerprint {data.fingerprint}")
    print(f"model: {model.count_params()} weights, moved by {args.optimizer}", flush=True)
    if args.regularizer != "none":
        regularizers.apply(model, REGULARIZERS[args.regularizer](args.strength))
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    args.out.mkdir(parents=True, exist_ok=True)
    history = fit(args, model, images, labels, data.test)
    loss, accuracy = model.evaluate(*data.test, batch_size=256, verbose=0)
    print(f"evaluation: loss {loss:.4f}, accuracy {accuracy:.4f}")
    title = f"{data.name}, {args.optimizer}, {args.schedule}: accuracy {accuracy:.4f}"
    plot(history, title, args.out / "history.png")
    difference = largest_difference(model, data.test[0][:1000], args.out)
    print(f"saved to {args.out}; the reloaded models' answers differ by at most {difference:.1g}")
    print(f"final accuracy {accuracy:.4f}", flush=True)
    if args.check and accuracy < target:
        print(f"The accuracy is under the target of {target}.", file=sys.stderr)
    return int(difference > 1e-4 or (args.check and accuracy < target))


if __name__ == "__main__":
    sys.exit(main())
