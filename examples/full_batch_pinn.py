"""A physics-informed network for Burgers' equation: Adam, and Adam followed by `fit_full_batch`.

    python examples/full_batch_pinn.py

A network u(t, x) learns to satisfy

    du/dt + u du/dx = nu d2u/dx2,    u(0, x) = -sin(pi x),    u(t, -1) = u(t, 1) = 0

at some thousand points; the initial and boundary values are built in. The solution steepens until
viscosity holds it. Adam trains alone first. Then the same network starts again, with Adam for a
fifth of the steps, and with self-scaled BFGS in float64 for the time that is left.
"""

import argparse
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from matplotlib.figure import Figure
from scipy.stats import qmc

import keras_gdx

NU = 0.01 / np.pi
STEPS_PER_EPOCH = 50


class Burgers(keras.Model):
    """The solution as a network; its loss is the mean square of the equation's residual."""

    def __init__(self):
        super().__init__()
        hidden = [layers.Dense(16, "tanh") for _ in range(3)]
        self.body = keras.Sequential([keras.Input((2,)), *hidden, layers.Dense(1)])

    def call(self, points):
        t, x = points[:, :1], points[:, 1:]
        return t * (1 - x * x) * self.body(points) - ops.sin(np.pi * x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        t, x = x[:, :1], x[:, 1:]
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch((t, x))
                u = self(ops.concatenate([t, x], axis=1))
            u_t, u_x = inner.gradient(u, (t, x))
        u_xx = outer.gradient(u_x, x)
        return ops.mean((u_t + u * u_x - NU * u_xx) ** 2)


class Clock(keras.callbacks.Callback):
    """Notes the seconds and the loss at the end of each epoch."""

    def __init__(self):
        super().__init__()
        self.begin, self.seconds, self.loss = time.monotonic(), [], []

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.monotonic() - self.begin)
        self.loss.append(logs["loss"])


def points(count):
    """Evenly scattered points (t, x)."""
    return qmc.scale(qmc.Sobol(2, seed=0).random(count), (0, -1), (1, 1))


def exact(t, x):
    """The solution, by the transform of Cole and Hopf and Gauss-Hermite quadrature."""
    z, weight = np.polynomial.hermite.hermgauss(200)
    shifted = x[..., None] - np.sqrt(4 * NU * t[..., None]) * z
    kernel = weight * np.exp(-np.cos(np.pi * shifted) / (2 * np.pi * NU))
    return -(kernel * np.sin(np.pi * shifted)).sum(-1) / kernel.sum(-1)


def adam(model, data, steps, clock):
    """Trains with Adam and a learning rate that decays to 0."""
    rate = keras_gdx.schedules.create("cosine", 1e-2)
    model.compile(keras_gdx.optimizers.Adam(rate), jit_compile=True)
    epoch = tf.data.Dataset.from_tensors(data).repeat(STEPS_PER_EPOCH)
    epochs = steps // STEPS_PER_EPOCH
    model.fit(epoch, epochs=epochs, shuffle=False, callbacks=[clock], verbose=0)


def plot(clocks, t, x, found, path):
    """Draws the losses over time and the solution."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for label, clock in clocks.items():
        left.semilogy(clock.seconds, clock.loss, label=label)
    left.set(xlabel="seconds", ylabel="loss", title="mean squared residual")
    left.legend(frameon=False)
    left.spines[["top", "right"]].set_visible(False)
    left.grid(alpha=0.3)
    image = right.pcolormesh(t, x, found, cmap="RdBu_r", rasterized=True)
    right.set(xlabel="t", ylabel="x", title="u after self-scaled BFGS")
    figure.colorbar(image, ax=right)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def main():
    """Trains twice, and prints and draws the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--points", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=5000, help="steps of Adam alone")
    parser.add_argument(
        "--iterations", type=int, help="of self-scaled BFGS; by default, what the time allows"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/full_batch_pinn"))
    parser.add_argument("--check", action="store_true", help="fail if it is not 100 times better")
    arguments = parser.parse_args()
    data = points(arguments.points)
    t, x = np.meshgrid(np.linspace(0, 1, 101), np.linspace(-1, 1, 401))
    grid, truth = np.stack([t.ravel(), x.ravel()], axis=1), exact(t, x)

    keras.config.set_floatx("float64")
    clocks, losses = {}, {}
    for name, share in ("Adam", 1), ("Adam, then self-scaled BFGS", 0.2):
        keras.utils.set_random_seed(0)
        model = Burgers()
        clocks[name] = clock = Clock()
        adam(model, data, int(share * arguments.steps), clock)
        if share < 1:
            if arguments.iterations is None:
                left = clocks["Adam"].seconds[-1] - (time.monotonic() - clock.begin)
                limit = {"max_iterations": 10**6, "time_budget": left}
            else:
                limit = {"max_iterations": arguments.iterations}
            keras_gdx.fit_full_batch(
                model,
                data,
                method="ssbfgs",
                jit_compile=True,
                callbacks=[clock],
                verbose=0,
                **limit,
            )
        found = model.predict(grid, batch_size=len(grid), verbose=0).reshape(t.shape)
        losses[name] = float(model.compute_loss(ops.convert_to_tensor(data)))
        error = np.linalg.norm(found - truth) / np.linalg.norm(truth)
        print(
            f"{name}: {clock.seconds[-1]:.0f} s, loss {losses[name]:.2e}, "
            f"relative error of the solution {error:.2e}"
        )
    plot(clocks, t, x, found, arguments.out / "burgers.png")
    ratio = losses["Adam"] / losses["Adam, then self-scaled BFGS"]
    print(f"the loss is {ratio:.0f} times lower")
    if arguments.check and ratio < 100:
        parser.exit(1, "That is less than 100 times.\n")


if __name__ == "__main__":
    main()
