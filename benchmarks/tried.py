"""What was tried: wrappers that are not in the package, and how often SOAP renews its bases.

Run with `python -m benchmarks.tried`. EMA-Nesterov, tail averaging and Hyperball around Keras'
AdamW and our Muon get the same trials, updates and seeds as these alone, through
`keras_gdx.compare`; SOAP runs with its tuned settings from `benchmarks.time_to_target` and other
frequencies. Losses at the end are compared seed by seed.
"""

import argparse
import json
import math
import os
import statistics
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from keras import ops

import keras_gdx
from benchmarks.machine import RESULTS, save
from benchmarks.tasks import TASKS
from benchmarks.time_to_target import BASE, BATCH_SIZE, cosine, keras_adamw, seconds_per_update
from keras_gdx.comparison.statistics import t_interval
from keras_gdx.optimizers import AdamW, Muon

MUON, SOAP = "Muon, tuned", "SOAP, every 10"
QUICK = [name for name in TASKS if name != "characters, transformer"]
LONG = ("digits, autoencoder", "ratings, embeddings")  # where new bases in every update take hours
LEVEL = 0.05


class EMANesterov(keras.callbacks.Callback):
    """Steps start ahead of the weights, along their average movement (arXiv:2605.25395).

    x' = A(x + beta m), m' = gamma m + (1 - gamma) (x' - x), with beta 0.3 times the share of the
    highest rate, from 1/6 to 2/3 of the training.
    """

    def __init__(self, gamma):
        super().__init__()
        self.gamma, self.step = gamma, 0

    def on_train_begin(self, logs=None):
        self.weights = [v.value for v in self.model.trainable_variables]
        self.before = [tf.Variable(w) for w in self.weights]
        self.movement = [tf.Variable(tf.zeros_like(w)) for w in self.weights]
        self.total = self.params["epochs"] * self.params["steps"]
        self.look = tf.function(self.look_ahead)
        self.follow = tf.function(self.follow_up)

    def look_ahead(self, beta):
        for w, m in zip(self.weights, self.movement, strict=True):
            w.assign_add(beta * m)

    def follow_up(self):
        for w, x, m in zip(self.weights, self.before, self.movement, strict=True):
            m.assign(self.gamma * m + (1 - self.gamma) * (w - x))
            x.assign(w)

    def on_train_batch_begin(self, batch, logs=None):
        if self.total / 6 <= self.step < self.total * 2 / 3:
            share = 0.5 * (1 + math.cos(math.pi * self.step / self.total))
            self.look(tf.constant(0.3 * share))

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        self.follow()


class TailAverage(keras.callbacks.Callback):
    """Evaluates 0.4 w + 0.6 of the weights' average over 150/2690 of the training."""

    def on_train_begin(self, logs=None):
        self.weights = [v.value for v in self.model.trainable_variables]
        self.average = [tf.Variable(w) for w in self.weights]
        self.kept = [tf.Variable(w) for w in self.weights]
        self.momentum = 1 - 2690 / 150 / (self.params["epochs"] * self.params["steps"])
        self.follow = tf.function(self.follow_up)

    def follow_up(self):
        for w, a in zip(self.weights, self.average, strict=True):
            a.assign(self.momentum * a + (1 - self.momentum) * w)

    def on_train_batch_end(self, batch, logs=None):
        self.follow()

    def on_test_begin(self, logs=None):
        for w, a, kept in zip(self.weights, self.average, self.kept, strict=True):
            kept.assign(w)
            w.assign(0.4 * w + 0.6 * a)

    def on_test_end(self, logs=None):
        for w, kept in zip(self.weights, self.kept, strict=True):
            w.assign(kept)


def is_hidden(h):
    return h.role.kind == "kernel" and not h.role.head


def on_ball(h, w, u):
    """A step of the length `lr` times the norm of the weights, which stays as it is."""
    norm, tiny = ops.norm(w), 1e-20
    moved = w - h.lr * norm * u / (ops.norm(u) + tiny)
    return norm * moved / (ops.norm(moved) + tiny)


class AdamHyperball(AdamW):
    """Adam whose hidden kernels keep their norms."""

    elementwise = False

    def decayed(self, h, w, u):
        return u if is_hidden(h) else super().decayed(h, w, u)

    def descend(self, h, w, u, *slots):
        return (on_ball(h, w, u), *slots) if is_hidden(h) else super().descend(h, w, u, *slots)


class MuonHyperball(Muon):
    """Muon whose matrices keep their norms."""

    def descend(self, h, w, u, *slots):
        return on_ball(h, w, u), *slots


def ema_nesterov_99():
    return [EMANesterov(0.99)]


def ema_nesterov_90():
    return [EMANesterov(0.9)]


def tail_average():
    return [TailAverage()]


def adam_hyperball(learning_rate):
    return AdamHyperball(learning_rate, weight_decay=0.0)


def muon_hyperball(learning_rate):
    return MuonHyperball(learning_rate)


WRAPPERS = {
    "EMA-Nesterov .99": ema_nesterov_99,
    "EMA-Nesterov .9": ema_nesterov_90,
    "tail average": tail_average,
}


def wrapped(steps):
    """AdamW and Muon, alone and wrapped, with the rates of `benchmarks.time_to_target`."""
    span, decay = keras_gdx.LogUniform, [0.0, 0.05]
    bases = {
        BASE: {
            "optimizer": keras_adamw,
            "learning_rate": span(1e-4, 1e-1),
            "weight_decay": decay,
            "steps": steps,
        },
        MUON: {
            "optimizer": "muon",
            "learning_rate": cosine(span(2e-3, 2.0)),
            "weight_decay": decay,
        },
    }
    more = {
        f"{name} + {wrapper}": {**bases[base], "callbacks": callbacks}
        for name, base in (("AdamW", BASE), ("Muon", MUON))
        for wrapper, callbacks in WRAPPERS.items()
    }
    more["AdamW + Hyperball"] = {
        "optimizer": adam_hyperball,
        "learning_rate": cosine(span(3e-4, 3e-1)),
    }
    more["Muon + Hyperball"] = {
        "optimizer": muon_hyperball,
        "learning_rate": cosine(span(2e-3, 2.0)),
    }
    return bases | more


def frequencies(task):
    """SOAP as `benchmarks.time_to_target` tuned it, with new bases in every 10, 1, 50 updates."""
    known = json.loads((RESULTS / "time_to_target.json").read_text(encoding="utf-8"))["rows"]
    values = next(
        row["values"] for row in known if (row["task"], row["strategy"]) == (task, "SOAP, tuned")
    )
    return {
        f"SOAP, every {k}": {
            "optimizer": "soap",
            "precondition_frequency": k,
            "weight_decay": values["weight_decay"],
            "learning_rate": cosine(values["learning_rate.learning_rate"]),
        }
        for k in (10, 1, 50)
    }


def compared(name, question, strategies, given):
    task = TASKS[name]
    return keras_gdx.compare(
        task.build,
        task.data,
        strategies,
        loss=task.loss,
        budget=keras_gdx.Budget(steps=task.steps),
        batch_size=BATCH_SIZE,
        evaluations=20,
        trials=given.trials,
        seeds=given.seeds,
        max_seeds=given.seeds,
        workers=1,
        resume=given.folder and Path(given.folder, question, name),
    )


def rows(name, found, bases):
    """For each strategy but the bases, its loss over that of its base, with the interval."""
    for strategy, each in found.strategies.items():
        base = next(b for word, b in bases.items() if strategy.startswith(word))
        if strategy == base:
            continue
        pairs = zip(each.finals, found.strategies[base].finals, strict=True)
        gains = [math.log(run.score / other.score) for run, other in pairs]
        low, high = t_interval(gains, LEVEL)
        yield {
            "task": name,
            "strategy": strategy,
            "base": base,
            "values": each.values,
            "loss": [math.exp(x) for x in (statistics.mean(gains), low, high)],
        }


def mean(ratios):
    """The geometric mean over the tasks, with Student's interval."""
    logarithms = [math.log(ratio) for ratio in ratios]
    return [math.exp(x) for x in (statistics.mean(logarithms), *t_interval(logarithms, LEVEL))]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=QUICK)
    parser.add_argument("--folder", help="for the runs, to go on later")
    given = parser.parse_args()
    table = []
    for name in given.tasks:
        found = compared(name, "wrappers", wrapped(TASKS[name].steps), given)
        table += rows(name, found, {"AdamW": BASE, "Keras": BASE, "Muon": MUON})
        if name in LONG:
            continue
        found = compared(name, "frequencies", frequencies(name), given)
        update = seconds_per_update(TASKS[name], found, SOAP)
        table += [
            row | {"seconds_per_update": update[row["strategy"]]}
            for row in rows(name, found, {"SOAP": SOAP})
        ]
    means = {
        strategy: mean([row["loss"][0] for row in table if row["strategy"] == strategy])
        for strategy in dict.fromkeys(row["strategy"] for row in table)
    }
    for row in table:
        loss = "{:.3f} [{:.3f}, {:.3f}]".format(*row["loss"])
        print(f"{row['strategy']:26}{row['task']:26}{loss:24}{row.get('seconds_per_update', '')}")
    for strategy, each in means.items():
        print(f"{strategy:26}{'geometric mean':26}" + "{:.3f} [{:.3f}, {:.3f}]".format(*each))
    save("tried", {"trials": given.trials, "seeds": given.seeds, "rows": table, "means": means})


if __name__ == "__main__":
    main()
