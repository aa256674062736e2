"""Updates and seconds until a loss that Keras' AdamW, tuned, reaches at the end of its budget.

Run with `python -m benchmarks.time_to_target`. On every task, AdamW of Keras and rules of this
package get the same number of trials, updates and seeds, through `keras_gdx.compare_many`; rates
fall along a cosine. The loss that AdamW's best setting has at the end (the median of its seeds) is
the target of the others. Seconds are updates until there, times the seconds of an update in `fit`,
for which all rules train in turn, since runs at different times of a shared machine tell little.
"""

import argparse
import math
import os
import statistics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

import keras_gdx
from benchmarks.machine import save
from benchmarks.pairs import ratio, times
from benchmarks.tasks import TASKS

BASE = "Keras AdamW, tuned"
MISSED = 2.0  # counted for a target that is not reached within the budget
BATCH_SIZE, TIMED = 64, 30


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
        "SOAP, defaults": {"optimizer": "soap", "learning_rate": cosine(3e-3)},
        "SOAP, tuned": {
            "optimizer": "soap",
            "learning_rate": cosine(span(1e-4, 1e-1)),
            "weight_decay": decay,
        },
    }


def seconds_per_update(task, found, base=BASE):
    """For each strategy, the ratio to the base: the median, and the quartiles."""
    (x, y), _ = task.data()
    x, y = x[: BATCH_SIZE * TIMED], y[: BATCH_SIZE * TIMED]

    def contestant(strategy):
        model = task.build()
        model.compile(strategy.build(model).optimizer, task.loss)
        return lambda: model.fit(x, y, batch_size=BATCH_SIZE, verbose=0)

    named = {name: contestant(each) for name, each in found.strategies.items()}
    measured = times(named, rounds=9, repeat=1)
    return {name: ratio(each, measured[base]) for name, each in measured.items()}


def rows(name, task, found):
    """One row for each strategy."""
    update = seconds_per_update(task, found)
    for strategy, each in found.strategies.items():
        steps = found.time(strategy) / task.steps
        yield {
            "task": name,
            "strategy": strategy,
            "values": each.values,
            "loss": each.score,
            "target": found.target,
            "updates": steps if math.isfinite(steps) else None,
            "seconds_per_update": update[strategy],
            "seconds": steps * update[strategy][0] if math.isfinite(steps) else None,
        }


def geometric_mean(ratios):
    return math.exp(statistics.mean(math.log(MISSED if r is None else r) for r in ratios))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=[*TASKS])
    parser.add_argument("--folder", help="for the runs, to go on later")
    arguments = parser.parse_args()
    tasks = {name: TASKS[name] for name in arguments.tasks}
    found = keras_gdx.compare_many(
        {
            name: {
                "build": task.build,
                "data": task.data,
                "loss": task.loss,
                "strategies": strategies(task.steps),
                "budget": keras_gdx.Budget(steps=task.steps),
            }
            for name, task in tasks.items()
        },
        target=BASE,
        batch_size=BATCH_SIZE,
        evaluations=20,
        trials=arguments.trials,
        seeds=arguments.seeds,
        max_seeds=arguments.seeds,
        workers=arguments.workers,
        resume=arguments.folder,
    )
    print(found)
    table = [row for name, task in tasks.items() for row in rows(name, task, found[name])]
    for row in table:
        reached = [math.inf if row[what] is None else row[what] for what in ("updates", "seconds")]
        print(f"{row['task']:25}{row['strategy']:20}{row['loss']:10.4g}{reached}", flush=True)
    means = {}
    for strategy in dict.fromkeys(row["strategy"] for row in table):
        own = [row for row in table if row["strategy"] == strategy]
        means[strategy] = {
            what: geometric_mean([row[what] for row in own]) for what in ("updates", "seconds")
        }
        print(f"{strategy:20} {means[strategy]}")
    settings = {"trials": arguments.trials, "seeds": arguments.seeds, "missed": MISSED}
    save("time_to_target", {**settings, "rows": table, "means": means})


if __name__ == "__main__":
    main()
