"""Who is best, if anybody is."""

import math

import numpy as np
import pytest

pytest.importorskip("scipy")

from keras_gdx.comparison.decision import decide

NAN = math.nan
SMALL = np.array([0.11, 0.1, 0.09, 0.1, 0.1])


def decided(scores, mode="max", margin=0.0, seeds=5, max_seeds=5):
    """The decision; the seeds of a strategy are 1, 2, ..."""
    by_seed = {name: dict(enumerate(each, 1)) for name, each in scores.items()}
    return decide(by_seed, mode, margin, seeds, max_seeds)


def outcomes(decision):
    return {duel.other: duel.outcome for duel in decision.duels}


def raced(x, first, last):
    """The end of a race between the rows of an array, and the seeds that it took."""
    have = {str(i): dict(enumerate(row[:first])) for i, row in enumerate(x.tolist())}
    for n in range(first, last + 1):
        decision = decide(have, "max", 0.0, first, last)
        if n == last or not decision.undecided:
            return decision, n
        for name in decision.undecided:
            have[name][n] = float(x[int(name), n])
    raise AssertionError


def test_a_race_finds_a_better_strategy_with_fewer_seeds():
    rng = np.random.default_rng(0)
    found, seeds = [], []
    for _ in range(150):
        x = rng.normal(size=(2, 10)) / math.sqrt(2) + np.array([[0], [2]]) + rng.normal(size=10)
        decision, n = raced(x, 5, 10)
        found.append(decision.best == "1")
        seeds.append(n)
    assert np.mean(found) > 0.97  # 5 seeds alone: 0.90
    assert np.mean(seeds) < 6


def test_a_race_among_equals_is_rarely_won():
    rng = np.random.default_rng(0)
    ends = [raced(rng.normal(size=(2, 8)), 5, 8) for _ in range(2000)]
    assert 0.04 < np.mean([decision.best is not None for decision, _ in ends]) < 0.06


def test_pairs_are_of_the_same_seed():
    """Seeds differ by much more than strategies."""
    seeds = np.array([1.0, 9.0, 4.0, 7.0, 2.0])
    decision = decided({"a": seeds, "b": seeds + SMALL})
    assert decision.best == "b"
    (duel,) = decision.duels
    assert duel.difference.mean == pytest.approx(0.1)
    assert duel.difference.by_seed[1] == pytest.approx(0.11)
    assert duel.difference.improvement == pytest.approx(0.6)


def test_losses_are_compared_by_factors_and_said_in_their_units():
    a = np.array([1e-5, 3e-4, 2e-6, 5e-5, 1e-3])
    decision = decided({"a": a, "b": a * [2.0, 2.1, 1.9, 2.0, 2.0]}, "min")
    assert decision.best == "a"
    (duel,) = decision.duels
    level = np.exp(np.log(a * 2).mean())
    assert duel.difference.mean == pytest.approx(level / 2, rel=0.01)
    low, high = duel.difference.interval(0.05)
    assert 0 < low < duel.difference.mean < high < level
    assert decided({"a": a - 1, "b": 2 * a - 1}, "min").best is None  # not so for differences


def test_mode():
    x = np.array([1.0, 1.1, 1.2, 1.15, 1.05])
    assert decided({"a": x, "b": x + 1}, "max").best == "b"
    assert decided({"a": x, "b": x + 1}, "min").best == "a"


def test_the_margin_must_be_exceeded():
    x = np.array([1.0, 1.1, 1.2, 1.15, 1.05])
    scores = {"a": x, "b": x + SMALL}
    assert decided(scores, margin=0.05).best == "b"
    assert outcomes(decided(scores, margin=0.2)) == {"a": "equal"}
    unclear = decided(scores, margin=0.1)
    assert outcomes(unclear) == {"a": "undecided"}
    assert unclear.undecided == ("b", "a")
    assert decided(scores, margin=0.2).best is None
    assert decided(scores, margin=0.2).undecided == ()
    assert outcomes(decided({"a": x, "b": x * 2}, "min", margin=5.0)) == {"b": "equal"}


def test_only_those_that_are_undecided_need_more_seeds():
    x = np.array([1.0, 1.1, 1.2, 1.15, 1.05])
    wobble = np.array([0.1, -0.1, 0.1, -0.1, 0.02])
    decision = decided({"poor": x - 3 + wobble / 9, "good": x, "close": x - 0.01 + wobble})
    assert outcomes(decision) == {"close": "undecided", "poor": "better"}
    assert decision.leader == "good"
    assert decision.undecided == ("good", "close")


def test_a_strategy_that_fails_cannot_be_best():
    x = np.array([1.0, 1.1, 1.2, 1.15, 1.05])
    broken = x + 5
    broken[2] = NAN
    decision = decided({"broken": broken, "whole": x})
    assert decision.best == "whole"
    assert outcomes(decision) == {"broken": "failed"}
    assert decision.duels[0].difference.n == 4
    third = decided({"broken": broken, "whole": x, "other": x + 0.5 * (x > 1.1)})
    assert third.undecided == ("other", "whole")
    assert third.best is None


def test_if_all_fail_somewhere_the_others_seeds_decide():
    x = np.array([1.0, 1.1, 1.2, 1.15, 1.05, 1.3])
    a, b = x.copy(), x + 1 + 0.1 * (x > 1.1)
    a[0] = b[1] = -math.inf
    decision = decided({"a": a, "b": b})
    assert decision.best == "b"
    assert decision.duels[0].difference.seeds == [3, 4, 5, 6]


def test_what_fails_always():
    assert decided({"a": [NAN, NAN], "b": [NAN, NAN]}).leader is None
    assert decided({"a": [NAN, NAN], "b": [NAN, NAN]}).undecided == ()
    decision = decided({"a": [NAN, NAN], "b": [1.0, 1.1], "c": []})
    assert decision.best == "b"
    assert outcomes(decision) == {"a": "failed", "c": "failed"}
    assert math.isnan(decision.duels[0].difference.mean)


def test_one_seed_decides_nothing():
    decision = decided({"a": [1.0], "b": [2.0]}, seeds=1, max_seeds=1)
    assert decision.leader == "b"
    assert decision.undecided == ("b", "a")
    assert decided({"a": [1.0, 2.0]}).best == "a"  # without a rival
