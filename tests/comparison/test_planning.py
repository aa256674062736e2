"""What is planned, with runs that are made up: nothing here trains."""

import json
import math
import random
from functools import partial
from importlib.util import find_spec

import keras
import numpy as np
import pytest

import keras_gdx
from keras_gdx import schedules
from keras_gdx.comparison.encoding import decode, encode
from keras_gdx.comparison.journal import Journal
from keras_gdx.comparison.plan import plan
from keras_gdx.comparison.run import Evaluation, Run
from keras_gdx.comparison.settings import Settings
from keras_gdx.comparison.spaces import Advised, Choice, LogUniform, Uniform, grid, halton
from keras_gdx.comparison.strategies import Strategy

PHASES = ("search", "final")
X = np.ones((4, 1), "float32")
RATE = LogUniform(1e-4, 1e-1)
TUNED = {"optimizer": "adamw", "learning_rate": RATE, "weight_decay": [0.0, 0.1]}


def settings(strategies=None, **given):
    strategies = strategies or {"a": TUNED, "b": {**TUNED, "optimizer": "lion"}, "c": "sgd"}
    options = {
        "budget": keras_gdx.Budget(steps=90), "loss": "mse", "metric": "val_loss", "mode": "min",
        "batch_size": 8, "evaluations": 9, "trials": 8, "search": "halton", "search_seed": 0,
        "prune": None, "seeds": 3, "max_seeds": 3, "margin": None, "target": None,
    }  # fmt: skip
    return Settings(
        build=print,
        data=print,
        test=None,
        strategies={name: Strategy.of(name, each) for name, each in strategies.items()},
        **{**options, **given},
    )


def score(task, sign=1):
    """A bowl around a rate, plus noise by seed, and an offset by strategy."""
    rate = task.values.get("learning_rate", 1e-3)
    offset = 0.02 * ord(task.strategy[0]) + 0.01 * task.values.get("weight_decay", 0)
    noise = np.random.default_rng([task.seed, ord(task.strategy[0])]).normal(0, 0.01)
    return sign * (offset + 0.1 * math.log10(rate / 3e-3) ** 2 + noise)


def made(task, given, value):
    curve = [Evaluation(10 * i, i / 10, value + (10 - i) / 10) for i in range(1, 10)]
    status = "completed" if math.isfinite(value) else "crashed"
    for rung, bar in sorted(task.bars.items()):
        if given.is_better(bar, curve[rung - 1].value):
            status, curve = "pruned", curve[:rung]
            break
    final = value if status == "completed" else given.worst
    return Run(
        task.strategy, task.phase, task.trial, task.seed, dict(task.values), status, final,
        tuple(curve), 90, 1.0, 0,
    )  # fmt: skip


def play(given, value=score, order=0):
    """All runs of a comparison; of the tasks that may begin, another one is first in each order."""
    runs, chance = [], random.Random(order)
    while tasks := plan(given, runs):
        runs.append(made(task := chance.choice(tasks), given, value(task)))
        assert len(runs) < 200
    return sorted(runs, key=lambda r: (r.strategy, r.phase, r.trial, r.seed))


SEARCHES = ["halton", "grid", pytest.param("tpe", marks=pytest.mark.skipif(
    not find_spec("optuna"), reason="Optuna is not installed"))]  # fmt: skip


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("prune", [None, "asha"])
def test_the_runs_do_not_depend_on_the_order_in_which_they_end(search, prune):
    given = settings(search=search, prune=prune, seeds=2, max_seeds=6, margin=0.005)
    first = play(given)
    assert all(play(given, order=i) == first for i in range(1, 4))
    trials = [r for r in first if r.phase == "search"]
    assert [sum(r.strategy == name for r in trials) for name in "abc"] == [8, 8, 0]
    assert {r.seed for r in trials}.isdisjoint({r.seed for r in first if r.phase == "final"})
    best = min((r for r in trials if r.strategy == "a"), key=lambda r: r.score)
    assert all(r.trial == best.trial for r in first if (r.strategy, r.phase) == ("a", "final"))


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("trials", [2, 8])
def test_an_advice_is_tried_first_and_reported_as_it_stood(search, trials):
    """`score` is best near 3e-3, which is beside the advice."""
    if search == "grid" and trials == 2:
        pytest.skip("a grid needs all three")
    ours = {"optimizer": "adamw", "learning_rate": Advised(0.01)}
    given = settings({"a": ours, "b": TUNED}, search=search, trials=trials, max_seeds=5, margin=0.5)
    runs = play(given)
    assert all(play(given, order=i) == runs for i in range(1, 3))
    tried = [r for r in runs if (r.strategy, r.phase) == ("a", "search")]
    assert tried[0].values == {"learning_rate": 0.01}
    assert len(tried) == (trials if search == "tpe" else min(trials, 3))
    finals = [r for r in runs if (r.strategy, r.phase) == ("a", "final")]
    best = min(tried, key=lambda r: r.score)
    advice, found = ([r for r in finals if r.trial == trial] for trial in (0, best.trial))
    assert {r.values["learning_rate"] for r in advice} == {0.01}
    assert {r.values["learning_rate"] for r in found} == {best.values["learning_rate"]}
    assert [r.seed for r in advice] == [r.seed for r in found]
    assert len(finals) == len(advice) * (2 if best.trial else 1)


def test_pruning_spares_later_rounds_only():
    runs = [r for r in play(settings({"a": TUNED}, prune="asha", trials=12)) if r.phase == "search"]
    status = [r.status for r in sorted(runs, key=lambda r: r.trial)]
    assert status[:4] == ["completed"] * 4
    assert 4 <= status.count("pruned") <= 8
    complete = play(settings({"a": TUNED}, trials=12))
    assert min(r.score for r in runs) == min(r.score for r in complete if r.phase == "search")


def test_seeds_are_added_until_it_is_decided():
    def value(task, gap):
        noise = np.random.default_rng([task.seed, ord(task.strategy)]).normal(0, 0.01)
        return {"a": 1.0, "b": 1.0 + gap, "c": 2.0}[task.strategy] + noise

    given = settings(dict.fromkeys("abc", "sgd"), seeds=3, max_seeds=8)
    far, near = play(given, partial(value, gap=0.5)), play(given, partial(value, gap=0.0))
    assert len(far) == 9
    count = {name: sum(r.strategy == name for r in near) for name in "abc"}
    assert count == {"a": 8, "b": 8, "c": 3}


def test_a_strategy_whose_trials_all_fail_reports_nothing():
    def value(task):
        return math.inf if task.strategy == "b" else score(task)

    runs = play(settings(), value)
    assert [r.phase for r in runs if r.strategy == "b"] == ["search"] * 8
    assert sum(r.phase == "final" for r in runs) == 6


def test_higher_may_be_better():
    runs = play(settings(metric="val_accuracy", mode="max"), partial(score, sign=-1))
    trials, finals = ([r for r in runs if (r.strategy, r.phase) == ("a", p)] for p in PHASES)
    best = max(trials, key=lambda r: r.score)
    assert [r.trial for r in finals] == [best.trial] * 3


# -- spaces ----------------------------------------------------------------------------------


def test_halton_covers_a_space_evenly():
    """In both halves of each argument there are equally many, in quarters of a plane almost."""
    points = halton({"x": Uniform(0.0, 1.0), "y": Uniform(0.0, 1.0)}, 64, seed=3)
    x, y = (np.array([p[name] for p in points]) for name in "xy")
    counts = np.histogram2d(x, y, bins=4, range=[[0, 1], [0, 1]])[0]
    assert counts.sum() == 64
    assert counts.min() >= 2
    assert counts.max() <= 6
    np.testing.assert_allclose(np.diff(np.sort(x)), 1 / 64, atol=1e-12)
    assert halton({"x": RATE}, 3, 0) == halton({"x": RATE}, 8, 0)[:3]


def test_a_grid_has_at_most_as_many_points_as_trials():
    points = grid({"x": Uniform(0.0, 3.0), "y": Choice([1, 2])}, 7)
    assert points == [{"x": x, "y": y} for x in (0.5, 1.5, 2.5) for y in (1, 2)]
    assert grid({"y": Choice([1, 2])}, 7) == [{"y": 1}, {"y": 2}]
    with pytest.raises(ValueError, match="`trials` must be at least 6"):
        grid({"x": Choice([1, 2, 3]), "y": Choice([1, 2])}, 5)


def test_few_choices_are_all_tried_once():
    runs = play(settings({"a": {"optimizer": "sgd", "momentum": [0.0, 0.9], "nesterov": [False]}}))
    tried = [r.values["momentum"] for r in runs if r.phase == "search"]
    assert tried == [0.0, 0.9]


# -- strategies ------------------------------------------------------------------------------


def test_a_strategy_fills_schedules_and_arguments():
    schedule = {"schedule": "cosine", "learning_rate": RATE, "warmup": [0, 0.5]}
    given = {"optimizer": "adamw", "learning_rate": schedule, "batch_size": [8]}
    strategy = Strategy.of("s", given)
    values = {"learning_rate.learning_rate": 0.1, "learning_rate.warmup": 0.5, "batch_size": 8}
    assert [*strategy.space] == [*values]
    built = strategy.build(values)
    wanted = schedules.create("cosine", 0.1, warmup=0.5).get_config()
    assert built.optimizer.configured_rate().get_config() == wanted
    assert built.batch_size == 8
    assert built.optimizer is not strategy.build(values).optimizer


def made_by_hand(learning_rate):
    return keras.optimizers.SGD(learning_rate)


def test_settings_survive_as_json(tmp_path):
    strategies = {
        "name": "sgd",
        "keras": keras.optimizers.Adam(0.5),
        "function": {"optimizer": made_by_hand, "learning_rate": RATE, "callbacks": list},
        "objects": {"optimizer": "sgd", "before": (keras_gdx.modifiers.Centralize(),)},
        "advice": {"optimizer": "sgd", "learning_rate": Advised(0.02)},
    }
    arrays = {}
    given = settings(strategies)
    encoded = json.loads(json.dumps(given.encoded(arrays)))
    again = Settings.decoded(encoded, arrays)
    assert again.encoded({}) == encoded
    built = again.strategies["function"].build({"learning_rate": 0.25})
    assert built.optimizer.learning_rate == 0.25
    assert again.strategies["advice"].advised == {"learning_rate": 0.02}
    assert again.strategies["function"].advised is None
    assert again.strategies["keras"].build({}).optimizer.learning_rate == 0.5
    assert "Centralize" in repr(again.strategies["objects"].build({}).optimizer.before)
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(decode(encode((x, {"x": x}), arrays), arrays)[1]["x"], x)


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.optimizers.Adam(1e-3),
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)),
        lambda: keras_gdx.optimizers.Muon(0.1),
        lambda: keras_gdx.optimizers.Lookahead(keras_gdx.optimizers.SGD(0.1)),
    ],
)
def test_equal_optimizers_are_equal_in_every_process(make):
    """Keras numbers their names in the order of their creation."""
    encoded = encode(make(), {})
    assert encode(make(), {}) == encoded
    assert encode(decode(encoded, {}), {}) == encoded


def test_a_journal_keeps_runs_and_refuses_other_settings(tmp_path):
    given = settings({"a/b ü": "sgd"}, seeds=2, max_seeds=2)
    with Journal(tmp_path, given) as journal:
        task, other = plan(given, [])
        assert journal.lease(task)
        assert not journal.lease(task)
        with Journal(tmp_path, given) as rival:
            assert not rival.lease(task)
            journal.write(run := made(task, given, math.inf))
            assert not rival.lease(task)
            assert rival.runs() == [run]
            assert plan(given, rival.runs()) == [other]
        assert journal.lease(other)
    with Journal(tmp_path, given) as journal:
        assert journal.lease(other)  # the lease ended with the other journal
    with pytest.raises(ValueError, match=r"has another `trials`: 8\. Received: trials=9"):
        Journal(tmp_path, settings({"a/b ü": "sgd"}, seeds=2, max_seeds=2, trials=9))


# -- what is refused -------------------------------------------------------------------------


def one(**strategy):
    return {"strategies": {"a": strategy}}


WRONG = {
    "an unknown optimizer": ({"strategies": {"a": "adamm"}}, "no optimizer 'adamm'"),
    "no strategy": ({"strategies": {}}, "`strategies` must be"),
    "an argument too many": (one(optimizer="sgd", lr=1), "no argument `lr`"),
    "no optimizer": (one(learning_rate=1), "must be the name of an optimizer"),
    "a number": ({"strategies": {"a": 3}}, "must be the name of an optimizer"),
    "callbacks": (one(optimizer="sgd", callbacks=[]), "`callbacks` must"),
    "an empty choice": (one(optimizer="sgd", momentum=[]), "one choice"),
    "no metric": ({"metric": "val_thing"}, "`mode` must be 'min' or 'max'"),
    "an unknown metric": ({"metric": "val_hope", "mode": "min"}, "hope"),
    "a metric of training": ({"metric": "loss"}, "`metric` must be a name that begins with val_"),
    "inputs of another shape": ({"data": (np.ones((4, 3)), X)}, "shape"),
    "trials": ({"trials": 0}, "`trials` must be an integer >= 1"),
    "fewer seeds": ({"max_seeds": 2}, "`max_seeds` must be at least `seeds`, 5"),
    "a search": ({"search": "random"}, "`search` must be 'halton', 'grid' or 'tpe'"),
    "a budget": ({"budget": 100}, "`budget` must be a Budget"),
    "pruning without evaluations": ({"prune": "asha", "evaluations": 2}, "at least 3 to prune"),
    "a time-out here": ({"timeout": 5.0}, "`timeout` must be None with workers=0"),
    "a lambda": ({"workers": 1}, "top level of a module"),
    "a model": ({"build": keras.Sequential([])}, "`build` must be a function that returns"),
    "a model without weights": ({"build": lambda: keras.Sequential([])}, "`build` must be"),
    "a schedule without length": (
        {
            **one(optimizer="sgd", learning_rate={"schedule": "linear"}),
            "budget": keras_gdx.Budget(seconds=1.0),
        },
        "`budget` must be in steps or examples",
    ),
    "arrays of different lengths": ({"data": (np.ones((4, 1)), np.ones((3, 1)))}, "`data` must be"),
    "no targets": ({"data": np.ones((4, 1))}, "`data` must be"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_refused_before_anything_runs(case):
    changed, message = WRONG[case]
    build = lambda: keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])  # noqa: E731
    given = {
        "build": build, "data": (X, X), "strategies": {"a": "sgd"}, "loss": "mse", "workers": 0,
        "budget": keras_gdx.Budget(steps=1),
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        keras_gdx.compare(**{**given, **changed})


@pytest.mark.parametrize(
    "given", [{}, {"steps": 1, "seconds": 1.0}, {"steps": 0}, {"joules": -1.0}]
)
def test_a_budget_has_one_limit(given):
    with pytest.raises(ValueError, match=r"`(budget|steps|joules)` must be"):
        keras_gdx.Budget(**given)


def test_budgets_in_steps():
    assert keras_gdx.Budget(examples=100).steps_with(8) == 12
    assert keras_gdx.Budget(examples=3).steps_with(8) == 1
    assert keras_gdx.Budget(steps=100).steps_with(8) == 100
