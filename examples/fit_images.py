"""Trains a small convolutional network on real images with the pieces of keras_gdx.

At its defaults it reads at least 97.5 % of 1,000 held-out handwritten digits, a minute
later on two cores. The images are on this machine already, see `keras_gdx.datasets`.

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
import numpy as np
import tensorflow as tf
from keras import layers
from matplotlib.figure import Figure

import keras_gdx
import keras_gdx.datasets
from keras_gdx import callbacks, regularizers, schedules

TARGETS = {"mnist5k": 0.975}
SCHEDULES = {
    "constant": lambda peak, updates: schedules.Constant(peak),
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
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--dataset", default="auto", help="auto, mnist5k, fashion_mnist, or tfds:NAME (network)")
    add("--data-dir", help="where prepared data is kept; by default where tfds keeps it")
    add("--fold", type=int, help="0 to 4: test on this fifth of the training images instead")
    add("--limit", type=int, help="train on so many images only")
    add("--optimizer", default="muon", help="a name of keras_gdx.list(), or keras:NAME")
    add("--learning-rate", type=float, help="at its peak; by default the optimizer's own")
    add("--weight-decay", type=float, help="by default the optimizer's own")
    add("--schedule", choices=SCHEDULES, default="cosine")
    add("--warmup", type=float, default=0.05, help="fraction of all updates")
    add("--regularizer", choices=REGULARIZERS, default="none")
    add("--strength", type=float, default=1e-4, help="of the regularizer")
    add("--plateau", action="store_true", help="halve the rate where the training loss rests")
    add("--epochs", type=int, default=10)
    add("--batch-size", type=int, default=64)
    add("--accumulate", type=int, help="batches per update")
    add("--clip", type=float, help="largest norm of all gradients together")
    add("--seed", type=int, default=0)
    add("--out", type=Path, default=Path("runs/fit_images"))
    add("--check", action="store_true", help="exit with 1 if the accuracy is under the target")
    add("--target", type=float, help="by default 0.975 for mnist5k")
    return parser


def make_model(shape, classes):
    """A network of five convolutions that sees each image a little shifted, turned and zoomed."""

    def block(filters, depth):
        convolutions = [
            layers.Conv2D(filters, 3, padding="same", activation="relu") for _ in range(depth)
        ]
        return [*convolutions, layers.MaxPooling2D()]

    return keras.Sequential(
        [
            keras.Input(shape, dtype="uint8", name="image"),
            layers.Rescaling(1 / 255),
            layers.RandomTranslation(0.1, 0.1, fill_mode="constant"),
            layers.RandomRotation(0.03, fill_mode="constant"),
            layers.RandomZoom(0.1, 0.1, fill_mode="constant"),
            *block(32, 2),
            *block(64, 2),
            *block(128, 1),
            layers.Flatten(),
            layers.Dropout(0.4),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def make_optimizer(args, model, batches):
    """The optimizer by name, its rate following the schedule over the whole run."""
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
    options = {
        "learning_rate": schedules.Warmup(SCHEDULES[args.schedule](peak, updates - warmup), warmup),
        "weight_decay": args.weight_decay,
        "global_clipnorm": args.clip,
        "gradient_accumulation_steps": args.accumulate,
    }
    return create(**{option: value for option, value in options.items() if value is not None})


def plain_line(epoch, logs):
    """Prints an epoch in one line."""
    print(f"epoch {epoch + 1:3d}", *(f"{k} {v:.4g}" for k, v in logs.items()), sep="  ", flush=True)


def plot(history, title, path):
    """Draws accuracy and learning rate over the epochs."""
    epochs = np.arange(1, len(history["loss"]) + 1)
    figure = Figure(figsize=(7, 5), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    upper.plot(epochs, history["accuracy"], "o-", color="C7", label="training, augmented images")
    upper.plot(epochs, history["val_accuracy"], "o-", color="C0", label="held-out images")
    upper.annotate(
        f"{history['val_accuracy'][-1]:.4f}",
        (epochs[-1], history["val_accuracy"][-1]),
        xytext=(0, 6),
        textcoords="offset points",
        ha="center",
        color="C0",
    )
    upper.set(title=title, ylabel="accuracy")
    upper.legend(loc="lower right", frameon=False)
    lower.plot(epochs, history["learning_rate"], "o-", color="C1")
    lower.set(xlabel="epoch", ylabel="learning rate", ylim=(0, None))
    lower.xaxis.get_major_locator().set_params(integer=True)
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def largest_difference(model, images, out):
    """Saves the model in both formats, reloads both and compares their answers with its own."""
    model.save(out / "model.keras")
    model.export(out / "saved_model", verbose=False)
    answer = model.predict(images, verbose=0)
    reloaded = keras.saving.load_model(out / "model.keras").predict(images, verbose=0)
    program = tf.saved_model.load(out / "saved_model")
    served = program.serve(images).numpy()
    return max(np.abs(answer - reloaded).max(), np.abs(answer - served).max())


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
    batches = tf.data.Dataset.from_tensor_slices((images, labels))
    batches = batches.shuffle(len(images), seed=args.seed).batch(args.batch_size).prefetch(2)
    watchers = [callbacks.HyperparameterLogger(["learning_rate"])]
    if args.plateau:  # on the training loss: held-out images decide nothing
        watchers.append(callbacks.PlateauController(monitor="loss", factor=0.5, patience=2))
    watchers.append(keras.callbacks.CSVLogger(args.out / "history.csv"))
    terminal = sys.stdout.isatty()
    if not terminal:
        watchers.append(keras.callbacks.LambdaCallback(on_epoch_end=plain_line))
    start = time.perf_counter()
    history = model.fit(
        batches,
        epochs=args.epochs,
        validation_data=data.test,
        callbacks=watchers,
        shuffle=False,  # the pipeline does
        verbose=1 if terminal else 0,
    ).history
    print(f"trained in {time.perf_counter() - start:.0f} s")
    loss, accuracy = model.evaluate(*data.test, batch_size=256, verbose=0)
    print(f"evaluation: loss {loss:.4f}, accuracy {accuracy:.4f}")
    plot(history, f"{data.name}: {args.optimizer}, {args.schedule}", args.out / "history.png")
    difference = largest_difference(model, data.test[0][:1000], args.out)
    print(f"saved to {args.out}; the reloaded models' answers differ by at most {difference:.1e}")
    print(f"final accuracy {accuracy:.4f}", flush=True)
    if args.check and accuracy < target:
        print(f"The accuracy is under the target of {target}.", file=sys.stderr)
    return int(difference > 1e-5 or (args.check and accuracy < target))


if __name__ == "__main__":
    sys.exit(main())
