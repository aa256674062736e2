"""What a comparison says, of runs that never took place."""

import itertools
import math
import re
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

pytest.importorskip("scipy")

from keras_gdx.comparison.budget import Budget
from keras_gdx.comparison.result import Comparison
from keras_gdx.comparison.spaces import LogUniform
from tests.comparison.made_up import advised, compared, complete, run, settings

A = [0.50, 0.52, 0.51, 0.53, 0.505]
B = [0.52, 0.541, 0.532, 0.549, 0.526]  # 0.020 worse
NEAR = [0.51, 0.513, 0.52, 0.521, 0.506]


@pytest.fixture(scope="module")
def everything():
    return complete()


# -- the verdict -----------------------------------------------------------------------------


def test_a_winner():
    result = compared({"adamw": B, "muon": A})
    assert result.verdict == "muon beats adamw by 0.0206 [0.0189, 0.0223], n=5, p<0.001."
    assert result.best.name == "muon"
    assert result.undecided == ()
    assert [*result.strategies] == ["muon", "adamw"]
    assert result.needed_seeds() == 3


def test_no_difference():
    result = compared({"adamw": NEAR, "muon": A})
    needed = result.needed_seeds()
    assert result.best is None
    assert result.verdict.startswith("No significant difference between muon and adamw: 0.00")
    assert result.verdict.endswith(f"; about {needed} seeds would be needed.")
    assert result.undecided == ("muon", "adamw")
    assert result.needed_seeds(0.02) < result.needed_seeds(0.01) < result.needed_seeds(0.005)


def test_equal_in_practice():
    result = compared({"adamw": NEAR, "muon": A}, margin=0.02)
    assert result.best is None
    assert result.undecided == ()
    assert "are equal in practice: the difference is less than 0.02, namely 0.00" in result.verdict


def test_a_margin_that_is_not_decided():
    result = compared({"adamw": B, "muon": A}, margin=0.02)
    assert result.verdict.startswith("Not decided if muon is better than adamw by 0.02: 0.0206 [")
    assert result.undecided == ("muon", "adamw")


def test_of_many_the_closest_are_named():
    scores = {str(i): [x + 0.02 * i for x in A] for i in (3, 1, 0, 5, 2, 4)}
    result = compared(scores)
    assert [*result.strategies] == ["0", "1", "2", "3", "4", "5"]
    assert result.verdict.startswith("0 beats 1 by 0.02")
    assert result.verdict.endswith("; and 2 others by more.")


def test_more_seeds_are_paid_for():
    """The same scores, when a decision was to be made after each seed from 5 to 10."""
    once, raced = (compared({"a": A, "b": B}, max_seeds=n) for n in (5, 10))
    (first,), (second,) = once.decision.duels, raced.decision.duels
    assert 1.5 < second.p / first.p <= 6
    assert raced.interval_level < once.interval_level == 0.05


def test_failed_runs_are_said():
    result = compared({"adamw": B, "muon": [*A[:3], math.nan, A[4]]})
    assert result.best.name == "adamw"
    assert result.verdict == (
        "adamw is the only one left. muon is out: 1 of 5 runs failed (1 diverged)."
    )
    both = compared({"adamw": [math.nan, *B[1:]], "muon": [*A[:3], math.nan, A[4]]})
    assert "adamw is not reliable: 1 of 5 runs failed (1 diverged)." in both.verdict
    nothing = compared({"adamw": [math.nan] * 5, "muon": [math.nan] * 5})
    assert nothing.verdict == "No run was completed: nothing can be said."
    assert nothing.best is None
    assert nothing.needed_seeds() is None
    assert nothing.target is None
    assert set(nothing.profile().scores.values()) == {0.0}
    assert len(nothing.table) == 2


def test_one_seed_and_one_strategy():
    one = compared({"a": A[:1], "b": B[:1]}, seeds=1, max_seeds=1)
    assert one.verdict == (
        "No significant difference between a and b: 1 seed cannot tell, at least 2 are needed."
    )
    assert compared({"a": A}).verdict == "a has no rival."


def test_higher_is_better():
    result = compared({"a": A, "b": B}, mode="max", metric="val_accuracy")
    assert result.verdict == "b beats a by 0.0206 [0.0192, 0.0220], n=5, p<0.001."
    low, high = result.strategies["b"].interval(0.05)
    assert low < result.strategies["b"].score < high


# -- the search ------------------------------------------------------------------------------


def searched(scores, rates=(0.001, 0.01, 0.1), statuses=("completed",) * 3):
    """A strategy with one trial for each score, and final runs of the best one."""
    strategies = {"a": {"optimizer": "sgd", "learning_rate": LogUniform(1e-3, 0.1)}, "b": "adam"}
    trials = [
        run("a", 0, score, "search", status, trial, {"learning_rate": rate})
        for trial, (score, rate, status) in enumerate(zip(scores, rates, statuses, strict=True))
    ]
    best = min((t for t in trials if t.status == "completed"), key=lambda t: t.score)
    finals = [run("a", s, y, trial=best.trial, values=best.values) for s, y in enumerate(A, 1)]
    return Comparison([*trials, *finals, *(run("b", s, y) for s, y in enumerate(B, 1))],
                      settings(strategies))  # fmt: skip


def test_a_value_at_an_edge():
    (edge,) = searched([0.7, 0.6, 0.5]).edges
    assert edge == ("a", "learning_rate", 0.1, "highest", 3)
    said = "The best learning_rate of a, 0.1, is the highest of 3 tried: a better one may be beyond"
    assert said in searched([0.7, 0.6, 0.5]).verdict
    assert searched([0.5, 0.6, 0.7]).edges[0].side == "lowest"
    assert searched([0.6, 0.5, 0.7]).edges == []


def test_a_run_that_fails_beyond_the_best_value_is_no_edge():
    assert not searched([0.7, 0.5, 0.0], statuses=("completed", "completed", "diverged")).edges


def test_what_has_few_values_or_ends_at_zero_has_no_edge():
    assert not searched([0.5, 0.6, 0.7], rates=(0, 0.1, 0.2)).edges
    assert not searched([0.5, 0.6, 0.7], rates=(0.2, 0.2, 0.1)).edges


def test_the_best_can_be_built():
    result = searched([0.6, 0.5, 0.7])
    built = result.best.build()
    assert type(built.optimizer).__name__ == "SGD"
    assert float(built.optimizer.learning_rate) == pytest.approx(0.01)
    assert result.best.search_score == 0.5
    bare = Comparison([], settings({"a": {"optimizer": "sgd", "learning_rate": [1, 2]}}))
    with pytest.raises(ValueError, match="No trial of 'a' was completed"):
        bare.strategies["a"].build()


# -- advice ----------------------------------------------------------------------------------


def test_how_good_an_advice_was():
    result = advised(0.03)
    assert result.sentences[-2:] == [
        "The advice for ours, learning_rate 0.02, was better than 1 of the 2 other trials of its "
        "space and 1 of the 3 trials of other strategies; 0.0067 was found.",
        "Without a search, it is behind what was found for it by 0.0301 [0.0277, 0.0325], n=5; "
        "behind adamw by 0.0102 [0.0058, 0.0145], n=5.",
    ]
    without = [r for r in result.runs if (r.strategy, r.phase, r.trial) != ("ours", "final", 0)]
    alone = Comparison(without, result.settings)
    assert result.decision.duels[0].p == alone.decision.duels[0].p
    assert [*result.table] == [*alone.table]  # the advice decides and costs nothing
    assert re.search(r"ours +learning_rate 0.02 +adamw +learning_rate 0.1 +0.0102 ", str(result))


@pytest.mark.parametrize(
    ("margin", "said"),
    [
        (0.05, "Against the best of these, it loses less than the margin of 0.05."),
        (0.03, "It is not decided whether it loses less than the margin of 0.03."),
        (0.02, "Against the best of these, it loses more than the margin of 0.02."),
    ],
)
def test_whether_an_advice_is_within_the_margin(margin, said):
    assert advised(0.03, margin=margin).sentences[-1] == said


def test_an_advice_that_is_the_best():
    result = advised(0.0, margin=0.01)
    assert result.sentences[-3:] == [
        "The advice for ours, learning_rate 0.02, was better than 2 of the 2 other trials of its "
        "space and 2 of the 3 trials of other strategies; nothing better was found.",
        "Without a search, it is ahead of adamw by 0.0198 [0.0155, 0.0242], n=5.",
        "Against the best of these, it loses less than the margin of 0.01.",
    ]
    assert result.best.name == "ours"


def test_an_advice_that_fails():
    result = advised(0.03, "diverged")
    assert result.sentences[-1] == (
        "The advice for ours, learning_rate 0.02, is not good: its trial diverged."
    )


def test_an_advice_with_scores_on_another_scale():
    """Losses of the others are compared by their logarithms, which a negative one has not."""
    given = advised(0.03)
    runs = [
        replace(r, score=-r.score) if (r.strategy, r.phase, r.trial) == ("ours", "final", 0) else r
        for r in given.runs
    ]
    result = Comparison(runs, given.settings)
    assert result.decision.scale.name == "geometric mean"
    assert "it is ahead of what was found for it by 1.056 [" in result.sentences[-1]


def test_higher_is_better_in_an_advice_too():
    result = advised(0.03, mode="max", metric="val_accuracy")
    assert "better than 1 of the 2 other trials" in result.sentences[-2]
    assert "ahead of adamw by 0.0" in result.sentences[-1]


def test_an_unfinished_comparison_has_an_advice_too():
    """As `keras-gdx report` shows it."""
    full = advised(0.03)
    searched = [run for run in full.runs if run.phase == "search"]
    said = Comparison(searched, full.settings).sentences[-1]
    assert said.endswith("1 of the 3 trials of other strategies.")
    assert Comparison([], full.settings).advice == {}


# -- time, memory and cost -------------------------------------------------------------------


def test_time_to_the_target():
    """Curves fall at every evaluation, and the last of 10 is the score."""
    result = compared({"a": A, "b": B}, target=0.52)
    assert result.target == 0.52
    assert result.strategies["a"].times(0.52, "step") == [1000, 1000, 1000, math.inf, 1000]
    assert result.strategies["a"].time(0.52, "seconds") == 20.0
    assert result.strategies["b"].time(0.52, "step") == math.inf
    assert result.strategies["a"].time(2.0, "step") == 100 * 1
    assert compared({"a": A, "b": B}).target == 0.532  # the median of the second
    assert compared({"a": A, "b": B}, target="b").target == 0.532
    leading = compared({"a": A, "b": B}, target="a")
    assert leading.target == 0.51
    assert leading.time("a") < leading.time("b")
    with pytest.raises(ValueError, match=r"a number, or one of \['a', 'b'\]"):
        compared({"a": A, "b": B}, target="c")
    assert result.profile().scores == pytest.approx({"a": 0.8, "b": 0.2})


def test_a_run_that_fails_never_reaches_the_target():
    scores = {"a": [0.5, 0.5, math.nan], "b": [0.6] * 3}
    assert compared(scores, target=0.55).strategies["a"].time(0.55, "step") == 1000
    scores["a"] = [0.5, math.nan, math.nan]
    assert compared(scores, target=0.55).strategies["a"].time(0.55, "step") == math.inf


def test_cost(everything):
    adamw = everything.strategies["adamw"]
    assert adamw.seconds == 20.0
    assert adamw.total_seconds == 13 * 20.0
    assert adamw.state_bytes == 2**20
    assert adamw.joules == 31.5
    assert adamw.test == pytest.approx(sum(r.score for r in adamw.finals) / 5 + 0.01)
    assert compared({"a": A}).strategies["a"].joules is None
    sgd = everything.strategies["sgd"]
    assert sgd.failures == {"diverged": 1}
    assert len(sgd.completed) == 4


# -- tables and files ------------------------------------------------------------------------


def test_table():
    result = compared({"adamw": B, "muon": A})
    first, second = result.table
    assert first["strategy"] == "muon"
    assert first["val_loss"] == pytest.approx(0.513, abs=1e-3)
    assert first["from"] < first["val_loss"] < first["to"]
    assert first["behind by"] == second["sign-flip p"] == ""
    assert second["at least"] < second["behind by"] < second["at most"]
    text = str(result)
    assert text.startswith(result.verdict)
    assert [re.sub(" +", " ", line) for line in text.splitlines()[2:]] == [
        "strategy result runs score behind by p leader better",
        "muon leader 5 0.513 [0.498, 0.528]",
        "adamw worse than muon 5 0.533 [0.519, 0.548] 0.0206 [0.0189, 0.0223] <0.001 90 %",
        "",
        "strategy values to target time cost state",
        "muon as given 1,000 steps, 20 s 20 s 100 s 1 MiB",
        "adamw as given 1,000 steps, 20 s 20 s 100 s 1 MiB",
    ]
    assert repr(result) == f"<Comparison: {result.verdict}>"


def test_a_second_opinion_from_six_seeds_on():
    _, second = compared({"a": [*A, 0.5], "b": [*B, 0.53]}, seeds=6, max_seeds=6).table
    assert second["sign-flip p"] == 2 / 2**6


def test_an_advice_is_saved(tmp_path):
    result = advised(0.03)
    result.save(tmp_path / "it.json")
    assert str(Comparison.load(tmp_path / "it.json")) == str(result)


def test_saved_and_loaded(everything, tmp_path):
    path = tmp_path / "folder" / "it.json"
    everything.save(path)
    again = Comparison.load(path)
    assert again.runs == everything.runs
    assert str(again) == str(everything)
    rate = again.strategies["muon"].values["learning_rate"]
    assert float(again.strategies["muon"].build().optimizer.learning_rate) == pytest.approx(rate)
    path.write_text('{"runs": []}')
    with pytest.raises(ValueError, match="the comparison must be a dictionary with 'settings'"):
        Comparison.load(path)


def test_what_another_program_built_can_be_read(tmp_path):
    """A function without a name that others can find."""
    given = settings({"a": lambda: "an optimizer", "b": "sgd"}, build=lambda: None, data=object())
    result = Comparison([run("a", 1, 0.5), run("b", 1, 0.6)], given)
    assert result.strategies["a"].build().optimizer == "an optimizer"
    result.save(tmp_path / "it.json")
    again = Comparison.load(tmp_path / "it.json")
    assert again.verdict == result.verdict
    with pytest.raises(
        ValueError, match=r"Strategy 'a' cannot be built by this program: .*<lambda>"
    ):
        again.strategies["a"].build()


def test_pandas(everything, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=list))
    assert [row["strategy"] for row in everything.to_pandas()] == [*everything.strategies]
    rows = everything.to_pandas("runs")
    assert [row["score"] for row in rows] == [run.score for run in everything.runs]
    assert rows[0]["weight_decay"] == everything.runs[0].values["weight_decay"]
    points = everything.to_pandas("curves")
    assert len(points) == sum(len(r.curve) for r in everything.runs)
    assert points[0] == {
        "strategy": "adamw", "phase": "search", "trial": 0, "seed": 0, "step": 100,
        "seconds": 2.0, "value": everything.runs[0].curve[0].value,
    }  # fmt: skip


def test_bad_arguments(everything):
    with pytest.raises(ValueError, match="Argument `kind` must be 'curves', 'rate', 'differences'"):
        everything.plot("curve")
    with pytest.raises(ValueError, match="Argument `what` must be 'strategies'"):
        everything.to_pandas("all")
    with pytest.raises(ValueError, match="Argument `delta` must be"):
        everything.needed_seeds(-1)
    with pytest.raises(ValueError, match="Argument `delta` must be greater than 0"):
        everything.needed_seeds(0)


def test_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match=r"pip install 'keras_gdx\[compare\]'"):
        compared({"a": A})


# -- for readers -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["curves", "rate", "differences", "profile", "budget"])
def test_every_chart_is_drawn(everything, kind):
    pytest.importorskip("matplotlib")
    for result in (everything, compared({"a": A, "b": [math.nan] * 5}), compared({"a": A[:1]})):
        figure = result.plot(kind)
        figure.canvas.draw()
    (axes,) = figure.axes
    axes.clear()
    assert everything.plot(kind, axes) is None
    assert axes.get_xlabel()


@pytest.mark.parametrize("span", [1.2, 2, 8, 15, 20, 90, 1e5])
def test_labels_of_rates_do_not_overlap(span):
    pytest.importorskip("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    result = searched([0.6, 0.5, 0.7], rates=(0.004, 0.004 * span**0.4, 0.004 * span))
    figure = result.plot("rate")
    (axes,), canvas = figure.axes, FigureCanvasAgg(figure)
    canvas.draw()
    inside = axes.get_window_extent()
    labels = [*axes.get_xticklabels(), *axes.get_xticklabels(minor=True)]
    boxes = [label.get_window_extent(canvas.get_renderer()) for label in labels if label.get_text()]
    ends = sorted((b.x0, b.x1) for b in boxes if inside.x0 <= (b.x0 + b.x1) / 2 <= inside.x1)
    assert len(ends) >= 2
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(ends))


def test_seconds_are_an_axis_too():
    pytest.importorskip("matplotlib")
    result = compared({"a": A, "b": B}, budget=Budget(seconds=20))
    assert result.plot("curves").axes[0].get_xlabel() == "seconds"
