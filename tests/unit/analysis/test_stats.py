import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from bench.analysis.stats import (
    DECISION_CONFIDENCE,
    RESAMPLES,
    Interval,
    RatioEstimate,
    chance_to_see,
    interval,
    ratio,
    smallest_visible_effect,
)

Floats = NDArray[np.float64]
Noise = Callable[[np.random.Generator, tuple[int, ...]], Floats]

SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
"""Cushny & Peebles 1905, the data of Student 1908: hours of sleep gained with two drugs."""

figures = st.floats(0.001, 1e6)
samples = st.lists(figures, min_size=2, max_size=12)


def exp(values: list[float]) -> list[float]:
    return [math.exp(value) for value in values]


def sure(estimate: RatioEstimate | None) -> RatioEstimate:
    assert estimate is not None
    return estimate


class TestIntervalOfTheMedian:
    def test_one_value_has_none(self) -> None:
        assert interval([100.0]) is None
        assert interval([]) is None

    @pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
    def test_what_has_no_logarithm_has_none(self, bad: float) -> None:
        assert interval([100.0, 101.0, bad]) is None

    def test_five_rounds_span_the_whole_range(self) -> None:
        """No interval of order statistics of five holds the median more than 93.75% of the time."""
        assert interval([100, 104, 99, 101, 108]) == Interval(99, 108, 0.95)

    def test_nine_rounds_leave_the_extremes_out(self) -> None:
        """As the sign test's interval, David & Nagaraja 2003: x(2) to x(8) holds it in 96.1%."""
        assert interval([9, 1, 8, 2, 7, 3, 6, 4, 5]) == Interval(2, 8, 0.95)

    def test_the_bootstrap_agrees_with_its_exact_distribution(self) -> None:
        """The median of nine is at most x(k) if five draws or more are (Efron 1982, chapter 10)."""
        values = np.arange(1.0, 10.0)
        chosen = np.random.default_rng(1).integers(0, 9, (RESAMPLES, 9))
        simulated = np.mean(np.median(values[chosen], axis=1) <= 2)
        assert simulated == pytest.approx(scipy_stats.binom.sf(4, 9, 2 / 9), abs=0.01)

    def test_three_rounds_get_students_interval_on_logs(self) -> None:
        found = interval(exp([0.0, 0.1, 0.2]))
        expected = scipy_stats.t.interval(0.95, 2, loc=0.1, scale=0.1 / math.sqrt(3))
        assert found is not None
        assert (math.log(found.low), math.log(found.high)) == pytest.approx(expected)

    @settings(max_examples=30)
    @given(samples, st.floats(0.01, 100))
    def test_a_change_of_unit_changes_only_the_unit(self, values: list[float], by: float) -> None:
        one, other = interval(values), interval([value * by for value in values])
        assert one is not None
        assert other is not None
        assert (other.low, other.high) == pytest.approx((one.low * by, one.high * by))

    @settings(max_examples=30)
    @given(st.permutations([97.0, 99, 100, 103, 104, 108, 110]))
    def test_the_order_of_rounds_changes_nothing(self, values: list[float]) -> None:
        assert interval(values) == interval(sorted(values))

    @settings(max_examples=30)
    @given(samples)
    def test_it_holds_the_median_itself(self, values: list[float]) -> None:
        found = interval(values)
        assert found is not None
        # Student's for few values may miss a median that one wild value is far away from
        assume(len(values) >= 5)
        assert found.low <= np.median(values) <= found.high


class TestRatio:
    def test_paired_is_students_test_on_logs(self) -> None:
        """Student 1908: t = 4.0621 on 9 degrees of freedom, p = 0.0028. Trimming set aside."""
        whole = scipy_stats.ttest_rel(SLEEP_2, SLEEP_1)
        assert whole.statistic == pytest.approx(4.0621, abs=1e-4)
        few = slice(0, 9)
        mine = sure(ratio(exp(SLEEP_1[few]), exp(SLEEP_2[few]), paired=True))
        theirs = scipy_stats.ttest_rel(SLEEP_2[few], SLEEP_1[few])
        low, high = theirs.confidence_interval(DECISION_CONFIDENCE)
        assert mine.p_value == pytest.approx(theirs.pvalue)
        assert math.log(mine.value) == pytest.approx(np.mean(SLEEP_2[few]) - np.mean(SLEEP_1[few]))
        assert math.log(mine.interval.low) == pytest.approx(low)
        assert math.log(mine.interval.high) == pytest.approx(high)

    def test_unpaired_is_welchs_test_on_logs(self) -> None:
        """The same data unpaired: t = 1.8608, df = 17.776, p = 0.0794 untrimmed (R's t.test)."""
        whole = scipy_stats.ttest_ind(SLEEP_2, SLEEP_1, equal_var=False)
        assert (whole.df, whole.pvalue) == pytest.approx((17.776, 0.0794), abs=1e-3)
        mine = sure(ratio(exp(SLEEP_1[:8]), exp(SLEEP_2[:9]), paired=False))
        theirs = scipy_stats.ttest_ind(SLEEP_2[:9], SLEEP_1[:8], equal_var=False)
        low, high = theirs.confidence_interval(DECISION_CONFIDENCE)
        assert mine.p_value == pytest.approx(theirs.pvalue)
        assert mine.freedom == pytest.approx(theirs.df)
        assert math.log(mine.interval.low) == pytest.approx(low)
        assert math.log(mine.interval.high) == pytest.approx(high)

    def test_from_ten_values_on_it_is_yuens(self) -> None:
        mine = sure(ratio(exp(SLEEP_1), exp(SLEEP_2), paired=False))
        theirs = scipy_stats.ttest_ind(SLEEP_2, SLEEP_1, equal_var=False, trim=0.1)
        assert mine.p_value == pytest.approx(theirs.pvalue)
        assert mine.freedom == pytest.approx(theirs.df)

    def test_ten_pairs_are_trimmed_as_one_of_yuens_samples(self) -> None:
        """Its formula put together from SciPy's trimmed mean and winsorized values."""
        differences = np.subtract(SLEEP_2, SLEEP_1)
        winsorized = np.asarray(scipy_stats.mstats.winsorize(differences, (0.1, 0.1)))
        mine = sure(ratio(exp(SLEEP_1), exp(SLEEP_2), paired=True))
        assert math.log(mine.value) == pytest.approx(scipy_stats.trim_mean(differences, 0.1))
        assert mine.error == pytest.approx(winsorized.std(ddof=1) * math.sqrt(9 / (8 * 7)))
        assert mine.freedom == 7

    def test_ten_percent_without_noise(self) -> None:
        found = sure(ratio([100, 200, 300], [110, 220, 330], paired=True))
        assert found.value == pytest.approx(1.1)
        assert found.different

    def test_the_same_figures_do_not_differ(self) -> None:
        found = sure(ratio([100, 100], [100, 100], paired=False))
        assert (found.value, found.p_value, found.different) == (1.0, 1.0, False)

    @pytest.mark.parametrize("paired", [True, False])
    def test_one_round_says_nothing(self, *, paired: bool) -> None:
        assert ratio([100], [200], paired=paired) is None

    @pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
    def test_what_has_no_ratio_says_nothing(self, bad: float) -> None:
        assert ratio([100, 100], [100, bad], paired=False) is None

    def test_rounds_that_do_not_match_cannot_be_paired(self) -> None:
        with pytest.raises(ValueError, match="2 and 3 values"):
            ratio([1, 2], [1, 2, 3], paired=True)

    def test_two_wild_rounds_are_no_overflow(self) -> None:
        found = sure(ratio([1.0, 1e6], [1e6, 1.0], paired=True))
        assert math.isfinite(found.interval.high)
        assert math.isfinite(found.smallest_visible)
        assert not found.different

    @given(st.lists(st.tuples(figures, figures), min_size=2, max_size=14), st.booleans())
    def test_seen_from_the_other_side_it_is_the_inverse(
        self,
        pairs: list[tuple[float, float]],
        paired: bool,
    ) -> None:
        base, new = [one for one, _ in pairs], [other for _, other in pairs]
        there, back = sure(ratio(base, new, paired=paired)), sure(ratio(new, base, paired=paired))
        assert there.value == pytest.approx(1 / back.value)
        assume(there.interval.low > 1e-250 and there.interval.high < 1e250)
        assert there.interval.low == pytest.approx(back.interval.inverse().low, rel=1e-6)
        assert there.interval.high == pytest.approx(back.interval.inverse().high, rel=1e-6)

    @given(samples, samples, st.floats(0.01, 100))
    def test_a_change_of_unit_changes_nothing(
        self, base: list[float], new: list[float], by: float
    ) -> None:
        one = sure(ratio(base, new, paired=False))
        other = sure(ratio([b * by for b in base], [n * by for n in new], paired=False))
        assert math.log(other.value) == pytest.approx(math.log(one.value), abs=1e-9)
        assert other.error == pytest.approx(one.error, abs=1e-9)

    @given(st.lists(st.tuples(figures, figures), min_size=2, max_size=14), st.randoms())
    def test_the_order_of_rounds_changes_nothing(
        self, pairs: list[tuple[float, float]], shuffler: "np.random.Generator"
    ) -> None:
        mixed = list(pairs)
        shuffler.shuffle(mixed)
        one, other = (
            sure(ratio([b for b, _ in each], [n for _, n in each], paired=True))
            for each in (pairs, mixed)
        )
        assert other.value == pytest.approx(one.value)
        assert other.error == pytest.approx(one.error, abs=1e-9)


class TestSmallestVisibleEffect:
    def test_cohens_table(self) -> None:
        """Cohen 1988, table 2.3.5: n = 64 a side shows d = 0.5 with 80% at 5%, two-sided."""
        distance = 0.5 / math.sqrt(2 / 64)
        assert chance_to_see(distance, 126, 0.95) == pytest.approx(0.80, abs=0.005)

    @pytest.mark.parametrize("freedom", [2, 4, 9, 30])
    def test_chances_are_the_noncentral_t_distributions(self, freedom: int) -> None:
        bound = scipy_stats.t.ppf(0.995, freedom)
        for distance in (0.0, 1.0, 3.0, 6.0):
            whole = scipy_stats.nct(freedom, distance) if distance else scipy_stats.t(freedom)
            expected = whole.sf(bound) + whole.cdf(-bound)
            assert chance_to_see(distance, freedom) == pytest.approx(expected, abs=1e-3)

    def test_it_is_seen_four_times_out_of_five(self) -> None:
        effect = smallest_visible_effect(0.02, 4)
        assert chance_to_see(math.log1p(effect) / 0.02, 4) == pytest.approx(0.8, abs=1e-3)

    def test_without_noise_everything_is_visible(self) -> None:
        assert smallest_visible_effect(0.0, 4) == 0.0

    @settings(max_examples=30)
    @given(st.floats(0.001, 0.2), st.integers(1, 100))
    def test_more_rounds_show_less(self, error: float, freedom: int) -> None:
        assert smallest_visible_effect(error, freedom + 1) < smallest_visible_effect(error, freedom)

    def test_an_estimate_knows_its_own(self) -> None:
        found = sure(ratio([100, 102, 101, 99], [101, 100, 99, 103], paired=True))
        assert found.smallest_visible == smallest_visible_effect(found.error, 3)


def quiet(rng: np.random.Generator, shape: tuple[int, ...], spread: float) -> Floats:
    return rng.normal(0, spread, shape)


def heavy_tailed(rng: np.random.Generator, shape: tuple[int, ...], spread: float) -> Floats:
    return rng.standard_t(3, shape) * spread


def disturbed(rng: np.random.Generator, shape: tuple[int, ...], spread: float) -> Floats:
    """Every tenth trial meets a neighbour and is a fifth slower."""
    return rng.normal(0, spread, shape) - 0.2 * (rng.random(shape) < 0.1)


def skewed(rng: np.random.Generator, shape: tuple[int, ...], spread: float) -> Floats:
    return -rng.exponential(spread, shape)


NOISES = [partial(noise, spread=0.03) for noise in (quiet, heavy_tailed, disturbed, skewed)]
names = [noise.func.__name__ for noise in NOISES]


@pytest.mark.parametrize("noise", NOISES, ids=names)
class TestSimulations:
    @pytest.mark.parametrize(("rounds", "at_least"), [(3, 0.92), (5, 0.92), (7, 0.94)])
    def test_the_interval_holds_the_median(
        self, noise: Noise, rounds: int, at_least: float
    ) -> None:
        """The percentile bootstrap as it is comes to 74%, 94% and 88%."""
        rng = np.random.default_rng(5)
        true = math.exp(np.median(noise(rng, (100_000,))))
        runs = np.exp(noise(rng, (150, rounds)))
        holds = [found.low <= true <= found.high for run in runs if (found := interval(run))]
        assert np.mean(holds) >= at_least - 0.04  # 2 standard errors of 150 runs

    @pytest.mark.parametrize("paired", [True, False])
    def test_a_thing_hardly_ever_differs_from_itself(self, noise: Noise, *, paired: bool) -> None:
        rng = np.random.default_rng(6)
        for rounds in (5, 10, 20):
            sides = np.exp(noise(rng, (2, 600, rounds)))
            called = [
                sure(ratio(*each, paired=paired)).different for each in zip(*sides, strict=True)
            ]
            assert np.mean(called) <= 0.01 + 0.012  # 3 standard errors of 600 comparisons

    def test_trimming_finds_a_tenth_in_twenty_rounds(self, noise: Noise) -> None:
        rng = np.random.default_rng(7)
        base, new = np.exp(noise(rng, (2, 200, 20)))
        found = [
            sure(ratio(b, n * 0.909, paired=True)).different for b, n in zip(base, new, strict=True)
        ]
        assert np.mean(found) >= 0.85


@pytest.mark.parametrize(
    ("effect", "rounds", "spread", "least"),
    [(0.10, 5, 0.02, 0.9), (0.10, 8, 0.03, 0.9), (0.05, 8, 0.02, 0.7), (0.05, 15, 0.03, 0.8)],
)
def test_power(effect: float, rounds: int, spread: float, least: float) -> None:
    rng = np.random.default_rng(8)
    base, new = np.exp(quiet(rng, (2, 500, rounds), spread))
    new = new / (1 + effect)
    found = [sure(ratio(b, n, paired=True)).different for b, n in zip(base, new, strict=True)]
    assert np.mean(found) >= least


def test_a_drift_of_the_machine_is_taken_out_by_pairing() -> None:
    rng = np.random.default_rng(9)
    drift = np.cumsum(quiet(rng, (300, 10), 0.03), axis=1)
    base, new = np.exp(drift + quiet(rng, (2, 300, 10), 0.02))
    new = new / 1.05
    found = {
        paired: np.mean(
            [sure(ratio(b, n, paired=paired)).different for b, n in zip(base, new, strict=True)]
        )
        for paired in (True, False)
    }
    assert found[True] > 0.85
    assert found[False] < 0.55
