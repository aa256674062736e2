"""Updates and seconds until a loss that Keras' AdamW, tuned, reaches at the end of its budget.

Run with `python -m benchmarks.time_to_target`. On every task, AdamW of Keras and rules of this
package get the same number of trials, updates and seeds, through `keras_gdx.compare`; rates fall
along a cosine. The loss that AdamW's best setting has at the end (the median of its seeds) is the
target of the others.
"""

import argparse
import math
import os
import statistics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

import keras_gdx
from benchmarks.machine import save
from benchmarks.tasks import TASKS

BASE = "Keras AdamW, tuned"
MISSED = 2.0  # counted for a target that is not reached within the budget


def keras_adamw(learning_rate, weight_decay, steps):
    """Keras' own optimizer and schedule."""
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    return keras.optimizers.AdamW(schedule, weight_decay=weight_decay)


def cosine(rate):
    return {"schedule": "cosine", "learning_rate": rate, "warmup": 0}


def strategies(steps):
    """The rates of each span three orders of magnitude around its usual one."""
    span, decay = keras_gdx.LogUniform, [0.0, 0.05]
    return {
        BASE: {
            "optimizer": keras_adamw,
            "learning_rate": span(1e-4, 1e-1),
            "weight_decay": decay,
            "steps": steps,
        },
        "Muon, defaults": {"optimizer": "muon", "learning_rate": cosine(0.02)},
        "Muon, tuned": {
            "optimizer": "muon",
            "learning_rate": cosine(span(2e-3, 2.0)),
            "weight_decay": decay,
        },
        "SOAP, tuned": {
            "optimizer": "soap",
            "learning_rate": cosine(span(1e-4, 1e-1)),
            "weight_decay": decay,
        },
    }


def to_target(runs, target):
    """The medians of updates and seconds until the loss is at most the target; inf if it is not."""
    reached = [next((e for e in run.curve if e.value <= target), None) for run in runs]
    steps = [math.inf if e is None else e.step for e in reached]
    seconds = [math.inf if e is None else e.seconds for e in reached]
    return statistics.median(steps), statistics.median(seconds)


def measure(name, task, arguments):
    """One row for each strategy."""
    found = keras_gdx.compare(
        task.build,
        task.data,
        strategies(task.steps),
        loss=task.loss,
        budget=keras_gdx.Budget(steps=task.steps),
        batch_size=64,
        evaluations=20,
        trials=arguments.trials,
        seeds=arguments.seeds,
        max_seeds=arguments.seeds,
        workers=arguments.workers,
        resume=arguments.folder and f"{arguments.folder}/{name}",
        verbose=0,
    )
    finals = {}
    for run in found.runs:
        if run.phase == "final":
            finals.setdefault(run.strategy, []).append(run)
    target = statistics.median(run.score for run in finals[BASE])
    whole = statistics.median(run.seconds for run in finals[BASE])
    for strategy, runs in finals.items():
        steps, seconds = to_target(runs, target)
        yield {
            "task": name,
            "strategy": strategy,
            "values": dict(runs[0].values),
            "loss": statistics.median(run.score for run in runs),
            "target": target,
            "steps": steps / task.steps if steps < math.inf else None,
            "seconds": seconds / whole if steps < math.inf else None,
            "whole": statistics.median(run.seconds for run in runs) / whole,
        }


def geometric_mean(ratios):
    return math.exp(statistics.mean(math.log(MISSED if r is None else r) for r in ratios))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", help="for the runs, to go on later")
    arguments = parser.parse_args()
    rows = []
    for name, task in TASKS.items():
        for row in measure(name, task, arguments):
            print(
                f"{name:25}{row['strategy']:20} loss {row['loss']:.4g}, target after "
                f"{row['steps'] or math.inf:.2f} of the updates, "
                f"{row['seconds'] or math.inf:.2f} of the time",
                flush=True,
            )
            rows.append(row)
    means = {}
    for strategy in dict.fromkeys(row["strategy"] for row in rows):
        own = [row for row in rows if row["strategy"] == strategy]
        means[strategy] = {
            what: geometric_mean([row[what] for row in own]) for what in ("steps", "seconds")
        }
        print(f"{strategy:20} {means[strategy]}")
    settings = {"trials": arguments.trials, "seeds": arguments.seeds, "missed": MISSED}
    save("time_to_target", {**settings, "rows": rows, "means": means})


if __name__ == "__main__":
    main()
