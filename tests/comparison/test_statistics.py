"""The statistics of a comparison, on numbers whose truth is known."""

import math

import numpy as np
import pytest

pytest.importorskip("scipy")

from keras_gdx.comparison.profile import profile
from keras_gdx.comparison.scale import HIGHER, LOGARITHMIC, LOWER, scale_of
from keras_gdx.comparison.statistics import (
    best_of,
    for_looks,
    improvement,
    level_for_looks,
    median_time,
    power,
    seeds_for,
    sign_flip_test,
    step_down,
    t_interval,
    t_test,
)

REPEATS = 20_000


def normal(*shape):
    return np.random.default_rng(0).normal(size=(REPEATS, *shape))


@pytest.mark.parametrize("n", [3, 5, 8])
def test_intervals_cover_the_truth(n):
    low, high = t_interval(normal(n) + 3.0, 0.05)
    assert abs(np.mean((low <= 3.0) & (high >= 3.0)) - 0.95) < 0.01


def test_an_interval_after_any_number_of_seeds_covers_the_truth():
    x = normal(10)
    level = level_for_looks(0.05, 5, 10)
    bounds = [t_interval(x[:, :n], level) for n in range(5, 11)]
    always = np.all([(low <= 0) & (high >= 0) for low, high in bounds], axis=0)
    assert abs(always.mean() - 0.95) < 0.01


def test_t_test_is_that_of_scipy():
    from scipy.stats import ttest_1samp

    x = normal(6)[:5] + 0.5
    np.testing.assert_allclose(t_test(x, 0.2), ttest_1samp(x, 0.2, axis=-1).pvalue, rtol=1e-9)
    assert t_test([1.0]) == 1.0
    assert t_test([0.0, 0.0, 0.0]) == 1.0
    assert t_test([0.5, 0.5, 0.5]) == 0.0
    assert t_interval([1.0], 0.05) == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("strategies", "first", "last"), [(2, 5, 5), (2, 5, 10), (3, 3, 8), (5, 5, 10), (10, 5, 5)]
)
def test_equal_strategies_are_rarely_told_apart(strategies, first, last):
    """With the adjustments of `decide`, at every seed that is added, and nobody ever left out."""
    x = normal(strategies, last) + normal(1, last)[::-1]
    decided = np.zeros(REPEATS, bool)
    for n in range(first, last + 1):
        leader = x[:, :, :n].mean(-1).argmin(-1)
        gains = x[:, :, :n] - np.take_along_axis(x, leader[:, None, None], 1)[:, :, :n]
        others = np.arange(strategies) != leader[:, None]
        p = t_test(gains[others].reshape(REPEATS, strategies - 1, n))
        decided |= (step_down(for_looks(p, first, last)) <= 0.05).any(-1)
    assert decided.mean() < 0.053  # two standard errors above the level
    assert strategies > 2 or decided.mean() > 0.047


@pytest.mark.parametrize(
    ("effect", "n", "chance"),
    [
        (1, 3, 0.18),
        (2, 3, 0.47),
        (1, 5, 0.4),
        (2, 5, 0.91),
        (1, 8, 0.68),
        (2, 8, 1.0),
        (1, 10, 0.8),
    ],
)
def test_power(effect, n, chance):
    found = np.mean(t_test(normal(n) + effect) <= 0.05)
    assert found == pytest.approx(chance, abs=0.01)
    assert power(effect, n, 0.05) == pytest.approx(found, abs=0.01)


@pytest.mark.parametrize(
    ("effect", "chance", "seeds"), [(0, 0.05, 9.8), (0.5, 0.22, 9.4), (1, 0.69, 7.9), (2, 1.0, 5.5)]
)
def test_power_of_a_race(effect, chance, seeds):
    x = normal(10) + effect
    p = np.stack([for_looks(t_test(x[:, :n]), 5, 10) for n in range(5, 11)])
    decided = p <= 0.05
    needed = np.where(decided.any(0), 5 + decided.argmax(0), 10)
    assert decided.any(0).mean() == pytest.approx(chance, abs=0.01)
    assert needed.mean() == pytest.approx(seeds, abs=0.06)


def test_needed_seeds_give_the_power_that_is_wanted():
    for effect in (0.3, 1.0, 2.0):
        n = seeds_for(effect, 0.05, 0.8)
        assert power(effect, n - 1, 0.05) < 0.8 <= power(effect, n, 0.05)
    assert seeds_for(-1.0, 0.05, 0.8) == seeds_for(1.0, 0.05, 0.8)
    assert seeds_for(0.05, 0.05, 0.8) == pytest.approx((2.8 / 0.05) ** 2, rel=0.01)
    assert seeds_for(0.0, 0.05, 0.8) is None
    assert seeds_for(1e-9, 0.05, 0.8) is None


def test_looks_are_paid_for():
    p = np.array([1e-9, 1e-3, 0.02, 0.05, 0.5])
    adjusted = for_looks(p, 5, 10)
    assert (np.diff(adjusted) > 0).all()
    assert (adjusted > p).all()
    assert (adjusted <= 6 * p).all()
    assert for_looks(0.03, 5, 5) == 0.03
    assert for_looks(level_for_looks(0.05, 5, 10), 5, 10) == pytest.approx(0.05, abs=1e-4)


def test_step_down_counts_all_pairs_that_remain():
    np.testing.assert_allclose(step_down([0.04, 0.001, 0.02]), [0.06, 0.006, 0.06])
    np.testing.assert_allclose(step_down([[0.9], [0.01]]), [[0.9], [0.01]])
    assert step_down([]).shape == (0,)


def test_sign_flips():
    assert sign_flip_test([1.0] * 5) is None
    assert sign_flip_test([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == 2 / 2**6
    assert sign_flip_test([1.0, -1.0, 2.0, -2.0, 3.0, -3.0]) == 1.0


def test_improvement_counts_ties_by_half():
    assert improvement([1.0, 2.0], [3.0]) == 1.0
    assert improvement([1.0], [1.0]) == 0.5


def test_median_time_knows_what_it_has_not_seen():
    assert median_time([10.0, 20.0, 30.0], [True, True, True]) == 20.0
    assert median_time([10.0, 20.0, 30.0], [True, False, False]) == math.inf
    assert median_time([5.0, 20.0, 30.0], [False, True, True]) == 20.0  # that at 5 says little
    assert median_time([5.0], [False]) == math.inf


def test_the_best_of_some_trials():
    scores = np.random.default_rng(1).normal(size=7)
    draws = np.random.default_rng(2).permuted(np.tile(scores, (REPEATS, 1)), axis=1)
    expected = [np.median(draws[:, :k].min(1)) for k in range(1, 8)]
    np.testing.assert_allclose(best_of(scores), expected)
    assert best_of([math.inf, 1.0, math.inf]).tolist() == [math.inf, 1.0, 1.0]


def test_scales():
    assert scale_of("min", [0.1, 2.0]) is LOGARITHMIC
    assert scale_of("min", [0.0, 2.0]) is LOWER
    assert scale_of("max", [0.1, 2.0]) is HIGHER
    for scale, level in ((LOWER, 2.0), (HIGHER, -2.0), (LOGARITHMIC, math.log(2.0))):
        difference = scale.difference(0.5, level)
        assert difference > 0
        assert scale.gain(difference, level) == pytest.approx(0.5)
        better = scale.back(level - difference)
        assert abs(better - 2.0) == pytest.approx(0.5)
    assert LOGARITHMIC.difference(3.0, math.log(2.0)) == math.inf


def test_profile():
    found = profile({"a": [1.0, math.inf, 4.0, math.inf], "b": [2.0, 5.0, 1.0, math.inf]})
    at = dict(zip(found.factors.round(6).tolist(), range(601), strict=True))
    assert [found.shares["a"][at[x]] for x in (1.0, 3.5, 4.0)] == [0.25, 0.25, 0.5]
    assert [found.shares["b"][at[x]] for x in (1.0, 2.0, 4.0)] == [0.5, 0.75, 0.75]
    assert found.scores["a"] == pytest.approx(0.25, abs=0.01)
    assert found.scores["b"] == pytest.approx(0.5 + 0.25 * 2 / 3, abs=0.01)
