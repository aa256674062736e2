"""Shared by the examples: a plot of a run, and a check that saved models equal the trained one."""

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator


def plot(history, title, path):
    """Plots errors and the learning rate over epochs."""
    epochs = range(1, len(history["loss"]) + 1)
    figure = Figure(figsize=(7, 5), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    labels = {"accuracy": "training images, augmented", "val_accuracy": "held-out images"}
    for key, label in labels.items():
        upper.semilogy(epochs, 100 * (1 - np.array(history[key])), "o-", label=label)
    upper.minorticks_off()
    upper.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}")
    upper.set(title=title, ylabel="errors, %")
    upper.legend(frameon=False)
    lower.plot(epochs, history["learning_rate"], "o-", color="gray")
    lower.xaxis.get_major_locator().set_params(integer=True)
    lower.set(xlabel="epoch", ylabel="learning rate", ylim=(0, None))
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def largest_difference(model, images, out):
    """Saves the model in both formats, reloads both and compares their predictions with its own."""
    model.save(out / "model.keras")
    model.export(out / "saved_model", verbose=False)
    answer = model.predict(images, batch_size=len(images), verbose=0)
    reloaded = keras.saving.load_model(out / "model.keras")
    reloaded = reloaded.predict(images, batch_size=len(images), verbose=0)
    program = tf.saved_model.load(out / "saved_model")
    served = program.serve(images).numpy()
    return max(np.abs(answer - reloaded).max(), np.abs(answer - served).max())
