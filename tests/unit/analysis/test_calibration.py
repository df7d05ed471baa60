from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.stats import nct, t

from bench.analysis.calibration import (
    BASE,
    TWIN,
    Calibration,
    Line,
    MetricCalibration,
    Tally,
    calibration_of,
    handicap_of,
    pairs_of,
    rounds_for,
    subject_name,
)
from bench.analysis.metrics import METRICS
from bench.errors import UsageError
from bench.model import Run, Trial
from bench.report.calibration import as_json, as_markdown, cells, headings
from tests.unit.factories import a_failed_trial, a_measurement, a_run, a_trial, a_usage

HANDICAPS = (0.05, 0.10)


def trials(rounds: int, noise: float, drift: float) -> Iterator[Trial]:
    """Yield a server that is its own limit: a handicap costs as much rate as it costs CPU."""
    rng = np.random.default_rng(11)
    for number in range(1, rounds + 1):
        common = rng.normal(0, drift)
        for name in (BASE, TWIN, *map(subject_name, HANDICAPS)):
            cost = (1 + (handicap_of(name) or 0)) * np.exp(common + rng.normal(0, noise))
            yield a_trial(
                name,
                round=number,
                measurement=a_measurement(1000 / cost, requests=2000),
                usage={"server": a_usage(cpu_seconds=2 * cost)},
            )


@cache
def a_calibration_run(rounds: int = 60, noise: float = 0.02, drift: float = 0.05) -> Run:
    return a_run(*trials(rounds, noise, drift), rounds=rounds)


@cache
def of_metric(name: str = "rps", rounds: int = 60) -> MetricCalibration:
    found = calibration_of(a_calibration_run(rounds))
    return next(each for each in found.metrics if each.metric.name == name)


def line_of(found: MetricCalibration, rounds: int) -> Line:
    return next(line for line in found.lines if line.rounds == rounds)


def test_names_stand_for_handicaps() -> None:
    assert [handicap_of(subject_name(each)) for each in (0.03, 0.125, 0.2)] == [0.03, 0.125, 0.2]
    assert handicap_of(BASE) is None
    assert handicap_of("gevent-uwsgi") is None


class TestTables:
    @pytest.mark.parametrize("metric", ["rps", "cpu"])
    def test_what_the_handicaps_did(self, metric: str) -> None:
        effects = of_metric(metric).effects
        sign = -1 if metric == "rps" else 1
        for handicap in (0.0, *HANDICAPS):
            assert not effects[handicap].interval.excludes((1 + handicap) ** sign)

    def test_the_noise_of_a_pair_is_that_of_two_trials(self) -> None:
        """The common drift cancels."""
        assert of_metric().noise == pytest.approx(0.02 * np.sqrt(2), rel=0.25)

    def test_a_thing_is_seldom_called_different_from_itself(self) -> None:
        for line in of_metric().lines:
            assert line.false.drawn <= 0.05
            assert line.false.blocks.of == 60 // line.rounds

    def test_handicaps_are_found(self) -> None:
        found = line_of(of_metric(), 8).found
        tenth, twentieth = found[0.10], found[0.05]
        assert tenth is not None
        assert twentieth is not None
        assert tenth.drawn > 0.95
        assert tenth.blocks.share is not None
        assert tenth.blocks.share >= 0.9
        assert twentieth.drawn > 0.5

    def test_the_fewest_rounds_that_keep_the_promises(self) -> None:
        found = of_metric()
        assert found.needed in {8, 10}
        assert not line_of(found, 5).keeps_promises
        calculated = found.calculated[0.05]
        assert calculated is not None
        assert abs(calculated - found.needed) <= 3

    def test_more_rounds_than_half_of_the_run_are_not_shown(self) -> None:
        assert max(line.rounds for line in of_metric().lines) == 30

    def test_two_stretches_of_time_are_compared_unpaired(self) -> None:
        line = line_of(of_metric(), 10)
        assert line.apart.of == 5

    def test_the_same_run_gives_the_same_table(self) -> None:
        assert calibration_of(a_calibration_run(20)) == calibration_of(a_calibration_run(20))


class TestBadInput:
    def test_a_promise_is_not_kept_by_too_few_rounds(self) -> None:
        """Every round has the twin, but only the first seven a handicap."""
        run = a_calibration_run(20)
        few = replace(
            run,
            trials=tuple(
                t for t in run.trials if t.round <= 7 or handicap_of(t.deployment.name) is None
            ),
        )
        for found in calibration_of(few).metrics:
            line = line_of(found, 8)
            assert line.found == {0.05: None, 0.10: None}
            assert not line.keeps_promises

    def test_rounds_with_an_invalid_side_are_left_out(self) -> None:
        run = a_run(
            a_trial(BASE, round=1),
            a_trial(TWIN, round=1),
            a_trial(BASE, round=2),
            a_failed_trial(TWIN, round=2),
            a_trial(BASE, round=3),
            a_trial(TWIN, round=3),
        )
        assert len(pairs_of(run, METRICS["rps"], TWIN)) == 2

    @pytest.mark.parametrize("run", [a_run(), a_run(a_trial()), a_run(a_trial(BASE))])
    def test_another_run_is_no_calibration(self, run: Run) -> None:
        with pytest.raises(UsageError, match="no calibration"):
            calibration_of(run)

    def test_no_comparison_has_no_share(self) -> None:
        assert Tally(0, 0).share is None


class TestRoundsByCalculation:
    @pytest.mark.parametrize(
        ("effect", "noise", "power"), [(0.10, 0.03, 0.9), (0.05, 0.03, 0.7), (0.05, 0.2, 0.7)]
    )
    def test_they_have_the_power_and_one_fewer_has_not(
        self, effect: float, noise: float, power: float
    ) -> None:
        def chance(rounds: int) -> float:
            bound = t.ppf(0.995, rounds - 1)
            return float(nct.sf(bound, rounds - 1, np.log1p(effect) * np.sqrt(rounds) / noise))

        rounds = rounds_for(effect, noise, power)
        assert rounds is not None
        assert chance(rounds) >= power - 1e-3
        assert chance(rounds - 1) < power + 1e-3

    def test_too_many_are_none(self) -> None:
        assert rounds_for(0.001, 0.5, 0.9) is None

    def test_without_noise_two_do(self) -> None:
        assert rounds_for(0.05, 0.0, 0.9) == 2


class TestReport:
    RUN = a_calibration_run(20)
    FOUND: Calibration = calibration_of(RUN)

    def test_every_row_has_a_cell_for_every_heading(self) -> None:
        for found in self.FOUND.metrics:
            assert {len(row) for row in cells(found)} == {len(headings(found))}

    def test_the_markdown_says_machine_and_method(self) -> None:
        text = as_markdown(self.RUN, self.FOUND)
        assert "2 × Imaginary 9000" in text
        assert "CPU time per request" in text
        assert "| rounds |" in text

    def test_the_json_is_read_by_others(self) -> None:
        assert '"needed_rounds"' in as_json(self.FOUND)
