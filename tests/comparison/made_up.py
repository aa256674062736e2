"""Comparisons of runs that never took place."""

import math

import numpy as np

from keras_gdx.comparison.budget import Budget
from keras_gdx.comparison.result import Comparison
from keras_gdx.comparison.run import Evaluation, Run
from keras_gdx.comparison.settings import Settings
from keras_gdx.comparison.spaces import Advised, LogUniform, halton
from keras_gdx.comparison.strategies import Strategy


def settings(strategies, **changes):
    given = {
        "build": None,
        "data": None,
        "test": None,
        "strategies": {name: Strategy.of(name, each) for name, each in strategies.items()},
        "loss": "mse",
        "metric": "val_loss",
        "mode": "min",
        "budget": Budget(steps=1000),
        "batch_size": 32,
        "evaluations": 10,
        "trials": 8,
        "search": "halton",
        "search_seed": 0,
        "prune": None,
        "seeds": 5,
        "max_seeds": 5,
        "margin": None,
        "target": None,
    }
    return Settings(**given | changes)


def run(strategy, seed, score, phase="final", status="completed", trial=0, values=(), **changes):
    """A run whose metric falls to its score, in 10 evaluations."""
    good = status == "completed"
    count = 10 if good else 4
    curve = tuple(
        Evaluation(100 * i, 2.0 * i, float(score) * (1 + 3 * math.exp(-i / 4)))
        for i in range(1, count)
    )
    curve += (Evaluation(100 * count, 2.0 * count, float(score)),)
    given = {
        "phase": phase,
        "trial": trial,
        "seed": seed,
        "values": dict(values),
        "status": status,
        "score": float(score) if good else math.inf,
        "curve": curve,
        "steps": 100 * count,
        "seconds": 2.0 * count,
        "state_bytes": 2**20,
        "message": "" if good else "the loss is not finite",
    }
    return Run(strategy, **given | changes)


def compared(scores, **changes):
    """A comparison of final runs; a score that is not finite is that of a run which diverged."""
    given = settings(dict.fromkeys(scores, "sgd"), **changes)
    runs = [
        run(name, seed, score, status="completed" if math.isfinite(score) else "diverged")
        for name, each in scores.items()
        for seed, score in enumerate(each, 1)
    ]
    if given.mode == "max":
        runs = [
            r if math.isfinite(r.score) else Run(**vars(r) | {"score": -math.inf}) for r in runs
        ]
    return Comparison(runs, given)


def advised(worse, status="completed", **changes):
    """A comparison with an advice, which is worse than what was found by about so much."""
    strategies = {
        "ours": {"optimizer": "muon", "learning_rate": Advised(0.02)},
        "adamw": {"optimizer": "adamw", "learning_rate": LogUniform(1e-3, 0.1)},
    }
    found = [0.50, 0.52, 0.51, 0.53, 0.505]
    tried = {
        "ours": {0.02: 0.5 + worse, 0.0067: 0.51, 0.06: 0.7},
        "adamw": {0.1: 0.5, 0.01: 0.52, 0.001: 0.54},
    }
    runs = [
        run(name, 0, score, "search", "completed" if trial else status, trial,
            {"learning_rate": rate})
        for name, each in tried.items()
        for trial, (rate, score) in enumerate(each.items())
    ]  # fmt: skip
    for seed, score in enumerate(found, 1):
        noise = 0.002 * math.sin(seed)
        if worse > 0.01:
            runs.append(run("ours", seed, score, trial=1, values={"learning_rate": 0.0067}))
        runs.append(run("ours", seed, score + worse + noise, values={"learning_rate": 0.02}))
        runs.append(run("adamw", seed, score + 0.02 - noise, values={"learning_rate": 0.1}))
    return Comparison(runs, settings(strategies, **changes))


EVIL = "<b>$x^{2$</b> & a name that is much longer than anybody could wish it to be"


def complete():
    """A comparison with everything that a page can show."""
    rng = np.random.default_rng(3)
    strategies = {
        "adamw": {
            "optimizer": "adamw", "learning_rate": LogUniform(1e-4, 1e-2), "weight_decay": [0, 0.1]
        },
        "muon": {"optimizer": "muon", "learning_rate": LogUniform(3e-3, 0.1)},
        "schedule-free": "schedulefreeadamw",
        EVIL: {"optimizer": "lion", "learning_rate": LogUniform(1e-5, 1e-3)},
        "sgd": {"optimizer": "sgd", "learning_rate": LogUniform(1e-3, 1.0)},
    }  # fmt: skip
    given = settings(strategies, max_seeds=10)
    levels = {"adamw": 0.523, "muon": 0.5, "schedule-free": 0.535, EVIL: 0.505, "sgd": 0.6}
    good = {"adamw": 2e-3, "muon": 0.09, EVIL: 2e-4, "sgd": 0.1}
    runs = []
    for name, strategy in given.strategies.items():
        points = halton(strategy.space, 8, 0) if strategy.space else [{}]
        distances = [math.log10(v.get("learning_rate", 1) / good.get(name, 1)) for v in points]
        if strategy.space:
            for trial, (values, far) in enumerate(zip(points, distances, strict=True)):
                status = "diverged" if far > 0.8 else "completed"
                score = levels[name] * (1 + 0.2 * far**2)
                runs.append(run(name, 0, score, "search", status, trial, values))
        trial = int(np.argmin(np.abs(distances)))
        for seed in range(1, 6):
            score = levels[name] * (1 + 0.01 * math.sin(seed) + 0.004 * rng.normal())
            status = "diverged" if (name, seed) == ("sgd", 4) else "completed"
            more = {"joules": 31.5, "test": score + 0.01}
            runs.append(run(name, seed, score, "final", status, trial, points[trial], **more))
    return Comparison(runs, given)
