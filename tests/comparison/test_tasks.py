"""The same strategies on several tasks."""

import math

import pytest

pytest.importorskip("scipy")

from keras_gdx.comparison import tasks
from keras_gdx.comparison.run import Evaluation, Run
from keras_gdx.comparison.tasks import Comparisons
from tests.comparison.made_up import Comparison, compared, run, settings


def task(steps, target=0.5):
    """Strategies that reach the target after so many steps, in each of three runs."""
    runs = [
        Run(**vars(run(name, seed, 0.6)) | {"curve": (Evaluation(at, at / 50, 0.5),) if at else ()})
        for name, at in steps.items()
        for seed in (1, 2, 3)
    ]
    return Comparison(runs, settings(dict.fromkeys(steps, "sgd"), target=target, seeds=3))


@pytest.fixture
def both():
    return Comparisons({"one": task({"a": 100, "b": 200}), "two": task({"a": 300, "b": 100})})


def test_times_are_relative_to_the_fastest(both):
    assert both.times() == {"a": [100.0, 300.0], "b": [200.0, 100.0]}
    assert both.slowdowns() == pytest.approx({"a": math.sqrt(3), "b": math.sqrt(2)})
    assert both.profile().scores == pytest.approx({"a": (3 + 1) / 6, "b": (3 + 2) / 6}, abs=0.01)
    assert [row["strategy"] for row in both.table] == ["b", "a"]
    assert both["one"].time("b") == 200
    assert str(both).startswith("one: No significant difference between ")


def test_what_is_not_reached():
    result = Comparisons(
        {
            "one": task({"a": 100, "b": 0}),
            "none": task({"a": 0, "b": 0}),
            "c": task({"a": 9, "b": 9}),
        }
    )
    assert result.slowdowns() == {"a": 1.0, "b": math.inf}
    assert [row["targets reached"] for row in result.table] == [2, 1]
    nothing = Comparisons({"none": task({"a": 0, "b": 0})})
    assert set(nothing.slowdowns().values()) == {math.inf}


def test_who_is_best_on_what():
    scores = {"a": [0.5, 0.51, 0.52], "b": [0.6, 0.612, 0.62]}
    result = Comparisons({"x": compared(scores), "y": compared(scores)})
    assert [row["best on"] for row in result.table] == ["x, y", "none"]


def test_profiles_are_drawn(both):
    pytest.importorskip("matplotlib")
    assert both.plot().axes[0].get_ylabel() == "share of tasks"


def test_other_strategies():
    with pytest.raises(ValueError, match="must be comparisons of the same strategies"):
        Comparisons({"one": compared({"a": [1.0]}), "two": compared({"b": [1.0]})})
    with pytest.raises(ValueError, match="must be comparisons of the same strategies"):
        Comparisons({})


def test_a_task_has_its_own_arguments_and_folder(monkeypatch, tmp_path):
    """Without training: what each comparison is asked for."""
    asked = []

    def compare(**given):
        asked.append(given)
        return compared({"a": [0.5], "b": [0.6]})

    monkeypatch.setattr(tasks, "compare", compare)
    strategies = {"a": "sgd", "b": "adam"}
    listed = {"x": {"build": 1}, "y": {"build": 2, "trials": 5}}
    found = tasks.compare_many(listed, strategies=strategies, trials=3, resume=tmp_path)
    common = {"strategies": strategies}
    assert asked == [
        common | {"build": 1, "trials": 3, "resume": tmp_path / "x"},
        common | {"build": 2, "trials": 5, "resume": tmp_path / "y"},
    ]
    assert [*found.tasks] == ["x", "y"]
    tasks.compare_many(listed, strategies=strategies)
    assert asked[-1]["resume"] is None
    asked.clear()
    for wrong in ([], [{"build": 1}], {"x": 3}, {"x": {"strategies": {"other": "sgd"}}, "y": {}}):
        with pytest.raises(ValueError, match="`tasks`"):
            tasks.compare_many(wrong, strategies=strategies)
    assert not asked  # refused before anything runs
