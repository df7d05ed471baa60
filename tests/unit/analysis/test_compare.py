from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.alike import pool
from bench.analysis.compare import Comparison, compare
from bench.analysis.judge import Finding, Outcome, confidence_of, decide, judge
from bench.analysis.metrics import METRICS
from bench.analysis.stats import Interval, RatioEstimate
from bench.errors import ExitCode, UsageError
from bench.model import Deployment, Latency, Run, Surroundings, Trial
from tests.unit.factories import (
    a_deployment,
    a_failed_trial,
    a_machine,
    a_measurement,
    a_run,
    a_trial,
    a_usage,
    a_workload,
)

RATES = (1000.0, 1010, 990, 1005, 995, 1000)


def a_side(
    factor: float = 1.0,
    name: str | Deployment = "gevent-uwsgi",
    rates: Sequence[float] = RATES,
    **changes: Any,
) -> list[Trial]:
    return [
        a_trial(name, round=number, **{"measurement": a_measurement(rate * factor)} | changes)
        for number, rate in enumerate(rates, 1)
    ]


def base_of(*trials: Trial, **changes: Any) -> Run:
    return a_run(*trials, **{"id": "base", "workload": a_workload("busy", delay=0.0)} | changes)


def new_of(*trials: Trial, **changes: Any) -> Run:
    return base_of(*trials, **{"id": "new"} | changes)


def found(comparison: Comparison) -> Finding:
    (pair,) = comparison.pairs
    return pair.finding


class TestOutcomes:
    @pytest.mark.parametrize(
        ("factor", "outcome", "regression", "code"),
        [
            (1.10, Outcome.FASTER, False, ExitCode.OK),
            (0.90, Outcome.SLOWER, True, ExitCode.REGRESSION),
            (0.965, Outcome.SLOWER, False, ExitCode.OK),
            (1.00, Outcome.SAME, False, ExitCode.OK),
        ],
    )
    def test_of_rates(
        self, factor: float, outcome: Outcome, *, regression: bool, code: ExitCode
    ) -> None:
        comparison = compare(base_of(*a_side()), new_of(*a_side(factor)))
        assert (found(comparison).outcome, found(comparison).regression) == (outcome, regression)
        assert comparison.exit_code is code

    def test_noise_is_inconclusive_and_says_what_would_have_been_seen(self) -> None:
        noisy = a_side(rates=(600, 1500, 900, 1300, 700))
        comparison = compare(base_of(*noisy), new_of(*a_side()))
        assert found(comparison).outcome is Outcome.INCONCLUSIVE
        assert "or more would have been seen" in found(comparison).reason
        assert comparison.exit_code is ExitCode.INCONCLUSIVE

    @pytest.mark.parametrize("metric", ["cpu", "memory"])
    def test_of_costs_less_is_better(self, metric: str) -> None:
        def side(factor: float) -> list[Trial]:
            usages = [
                a_usage(cpu_seconds=2 * spread * factor, memory_bytes=int(1e9 * spread * factor))
                for spread in (1.0, 1.01, 0.99, 1.005, 0.995)
            ]
            return [
                a_trial(round=number, usage={"server": usage})
                for number, usage in enumerate(usages, 1)
            ]

        for factor, outcome in ((1.1, Outcome.SLOWER), (0.9, Outcome.FASTER)):
            comparison = compare(base_of(*side(1)), new_of(*side(factor)), metric=metric)
            assert found(comparison).outcome is outcome

    @pytest.mark.parametrize("metric", ["p50", "p99"])
    def test_of_response_times_one_millisecond_is_no_difference(self, metric: str) -> None:
        def side(milliseconds: int) -> list[Trial]:
            time = milliseconds / 1000
            latency = Latency(p50=time, p90=time, p99=time, max=time)
            return a_side(measurement=a_measurement(latency=latency))

        base = base_of(*side(40))
        at = {ms: compare(base, new_of(*side(ms)), metric=metric) for ms in (40, 41, 42)}
        assert found(at[40]).outcome is Outcome.SAME
        assert found(at[41]).outcome is Outcome.INCONCLUSIVE
        assert "as it is measured" in found(at[41]).reason
        assert found(at[42]).outcome is Outcome.SLOWER

    def test_many_deployments_widen_the_intervals(self) -> None:
        assert confidence_of(1) == confidence_of(5) == 0.99
        assert confidence_of(10) == pytest.approx(0.995)

    @given(
        value=st.floats(0.5, 2),
        reach=st.floats(1.0, 1.5),
        threshold=st.floats(0, 0.5),
        more_is_better=st.booleans(),
    )
    def test_seen_from_the_other_side_faster_is_slower(
        self, value: float, reach: float, threshold: float, *, more_is_better: bool
    ) -> None:
        there = RatioEstimate(
            value, Interval(value / reach, value * reach, 0.99), 0, 0.1, 4, 5, False
        )
        back = replace(there, value=1 / value, interval=there.interval.inverse())
        mirrored = {Outcome.FASTER: Outcome.SLOWER, Outcome.SLOWER: Outcome.FASTER}
        one = decide(there, threshold, more_is_better=more_is_better).outcome
        other = decide(back, threshold, more_is_better=not more_is_better).outcome
        assert one is other
        swapped = decide(there, threshold, more_is_better=not more_is_better).outcome
        assert swapped is mirrored.get(one, one)


class TestNeverANumberOutOfNothing:
    @pytest.mark.parametrize(
        ("new", "reason"),
        [
            ([a_trial()], "NEW: 1 round: no uncertainty known"),
            ([*a_side(2), a_failed_trial("gevent-uwsgi")], "NEW: 1 of 7 trials invalid: it never"),
            ([a_failed_trial("gevent-uwsgi")], "NEW: 1 of 1 trials invalid"),
            (a_side(measurement=a_measurement(requests_per_second=0.0)), "a figure is zero"),
        ],
    )
    def test_it_is_inconclusive(self, new: list[Trial], reason: str) -> None:
        comparison = compare(base_of(*a_side()), new_of(*new))
        assert found(comparison).outcome is Outcome.INCONCLUSIVE
        assert found(comparison).reason.startswith(reason)
        assert found(comparison).estimate is None
        assert comparison.exit_code is ExitCode.INCONCLUSIVE

    def test_without_usage_there_is_no_cpu_time(self) -> None:
        comparison = compare(base_of(*a_side()), new_of(*a_side(usage={})), metric="cpu")
        assert found(comparison).reason == "NEW: CPU time per request not known of every trial"

    def test_no_trial(self) -> None:
        assert judge([], a_side(), METRICS["rps"]).outcome is Outcome.INCONCLUSIVE

    def test_rounds_that_do_not_match_are_not_paired(self) -> None:
        verdict = judge(a_side(), a_side()[1:], METRICS["rps"], paired=True)
        assert verdict.reason == "the rounds do not match"

    def test_at_the_ceiling_it_is_said(self) -> None:
        """2000 requests of 1 s at 200 at once: 181.8 per second whatever the server does."""
        api = a_workload()
        same = a_side(rates=(180.0, 181, 180, 181))
        comparison = compare(base_of(*same, workload=api), new_of(*same, workload=api))
        assert found(comparison).outcome is Outcome.SAME
        assert "both at the ceiling" in found(comparison).reason


class TestRefusals:
    @pytest.mark.parametrize(
        ("new", "said"),
        [
            (new_of(*a_side(), machine=a_machine(cores=4)), "machine, cores: 2 → 4"),
            (new_of(*a_side(), machine=a_machine(kernel="6.2")), "machine, kernel: 6.1.0 → 6.2"),
            (new_of(*a_side(), workload=a_workload("api")), "workload, name: busy → api"),
            (new_of(*a_side(), schema=99), "schema: "),
            (new_of(*a_side(), app="shop:app"), "app: app:app → shop:app"),
            (
                new_of(*a_side(name=a_deployment(workers=1))),
                "workers of gevent-uwsgi: 4 → 1",
            ),
        ],
    )
    def test_unlike_runs(self, new: Run, said: str) -> None:
        base = base_of(*a_side())
        with pytest.raises(UsageError, match="not alike") as refused:
            compare(base, new)
        assert said in str(refused.value)
        assert any(said in each for each in compare(base, new, allow_unlike=True).differences)

    def test_versions_are_what_one_compares(self) -> None:
        machine = a_machine(versions={"flask": "3.2"}, git_revision="ba9876543210", python="3.12.1")
        comparison = compare(base_of(*a_side()), new_of(*a_side(), machine=machine))
        assert comparison.differences == ()
        assert comparison.changes == (
            "git revision: 0123456789ab → ba9876543210",
            "python: 3.11.7 → 3.12.1",
            "flask: 3.1.3 → 3.2",
            "uwsgi: 2.0.31 → None",
        )

    def test_a_little_memory_less_is_the_same_machine(self) -> None:
        machine = a_machine(memory_bytes=8 * 1024**3 - 20 * 1024**2)
        assert compare(base_of(*a_side()), new_of(*a_side(), machine=machine)).differences == ()

    def test_nothing_in_common(self) -> None:
        with pytest.raises(UsageError, match="no deployment in common: one in base, other in new"):
            compare(base_of(*a_side(name="one")), new_of(*a_side(name="other")))

    def test_a_run_with_itself(self) -> None:
        with pytest.raises(UsageError, match="the same run"):
            compare(base_of(*a_side()), base_of(*a_side()))

    @pytest.mark.parametrize("threshold", [-0.1, 1.0, float("nan")])
    def test_a_threshold_out_of_range(self, threshold: float) -> None:
        with pytest.raises(UsageError, match="threshold"):
            compare(base_of(*a_side()), new_of(*a_side()), threshold=threshold)

    def test_an_unknown_metric(self) -> None:
        with pytest.raises(UsageError, match="Known: rps, p50, p99, cpu, memory"):
            compare(base_of(*a_side()), new_of(*a_side()), metric="joy")

    def test_what_only_one_run_has_is_named(self) -> None:
        comparison = compare(
            base_of(*a_side(), *a_side(name="old")), new_of(*a_side(), *a_side(name="young"))
        )
        assert (comparison.only_in_base, comparison.only_in_new) == (("old",), ("young",))

    def test_a_run_that_was_cut_short_is_named(self) -> None:
        comparison = compare(base_of(*a_side()), new_of(*a_side(), status="interrupted"))
        assert comparison.cut_short == ("new",)


def with_canary(trials: list[Trial], seconds: float) -> list[Trial]:
    return [
        replace(
            trial,
            surroundings=Surroundings(
                canary_before=seconds * wobble, canary_after=seconds * wobble
            ),
        )
        for trial, wobble in zip(trials, (1.0, 1.01, 0.99, 1.005, 0.995, 1.0), strict=True)
    ]


class TestDrift:
    def compare(self, factor: float, canary: float, metric: str = "rps") -> Comparison:
        base = with_canary(a_side(usage={"server": a_usage()}), 0.05)
        usage = a_usage(cpu_seconds=2 / factor, memory_bytes=int(100 * 1024**2 / factor))
        new = with_canary(
            [replace(t, usage={"server": usage}) for t in a_side(factor)],
            0.05 * canary,
        )
        return compare(base_of(*base), new_of(*new), metric=metric)

    @pytest.mark.parametrize("metric", ["rps", "cpu"])
    def test_what_the_machine_explains_is_taken_back(self, metric: str) -> None:
        comparison = self.compare(0.9, 1.1, metric)
        assert found(comparison).outcome is Outcome.INCONCLUSIVE
        assert "the machine itself was slower" in found(comparison).reason

    def test_more_than_the_machine_explains_stands(self) -> None:
        assert found(self.compare(0.7, 1.1)).outcome is Outcome.SLOWER

    def test_the_other_way_it_stands(self) -> None:
        assert found(self.compare(0.9, 0.9)).outcome is Outcome.SLOWER

    @pytest.mark.parametrize("metric", ["rps", "cpu"])
    def test_what_the_machine_hides_is_not_called_none(self, metric: str) -> None:
        comparison = self.compare(1.0, 0.9, metric)
        assert found(comparison).outcome is Outcome.INCONCLUSIVE
        assert "the machine itself was faster" in found(comparison).reason

    def test_a_regression_is_what_the_machine_does_not_explain(self) -> None:
        comparison = self.compare(0.87, 1.1)
        assert not found(comparison).regression
        assert comparison.exit_code is not ExitCode.REGRESSION

    def test_memory_does_not_depend_on_speed(self) -> None:
        assert found(self.compare(0.9, 1.1, "memory")).outcome is Outcome.SLOWER

    def test_a_quiet_machine_changes_nothing(self) -> None:
        comparison = self.compare(0.9, 1.0)
        assert found(comparison).outcome is Outcome.SLOWER
        assert comparison.drift is not None
        assert comparison.drift.value == pytest.approx(1.0)


class TestSteps:
    """ab measures times in whole milliseconds."""

    def compare(self, before: float, after: float, generator: str) -> Finding:
        base, new = (
            [
                replace(t, measurement=replace(t.measurement, generator=generator, latency=latency))
                for t in a_side()
                if t.measurement
            ]
            for latency in (Latency(each, each, each, each) for each in (before, after))
        )
        return found(compare(base_of(*base), new_of(*new), metric="p50"))

    def test_what_lies_between_two_steps_is_not_known(self) -> None:
        finding = self.compare(0.002, 0.002, "ab 2.3")
        assert finding.outcome is Outcome.INCONCLUSIVE
        assert "steps of 1 ms" in finding.reason

    def test_a_step_that_does_not_matter(self) -> None:
        assert self.compare(0.1, 0.1, "ab 2.3").outcome is Outcome.SAME

    def test_another_generator_knows_better(self) -> None:
        assert self.compare(0.0004, 0.0016, "builtin (httptools 1)").outcome is Outcome.SLOWER
        assert self.compare(0.0004, 0.0016, "ab 2.3").outcome is Outcome.INCONCLUSIVE


def test_what_could_not_run_is_not_fine() -> None:
    both = (*a_side(), *a_side(name="sync-uwsgi"))
    new = new_of(*a_side(), skipped={"sync-uwsgi": "uwsgi is not installed"})
    comparison = compare(base_of(*both), new)
    assert comparison.exit_code is ExitCode.INCONCLUSIVE
    assert comparison.left_out == {"sync-uwsgi": "uwsgi is not installed"}
    assert compare(base_of(*both), new_of(*a_side())).exit_code is ExitCode.OK


class TestPool:
    def test_rounds_are_numbered_on(self) -> None:
        one = base_of(*a_side(), rounds=6)
        other = new_of(*a_side(1.1), rounds=6, status="interrupted")
        pooled = pool([one, other])
        assert [trial.round for trial in pooled.trials] == list(range(1, 13))
        assert (pooled.rounds, pooled.status, pooled.id) == (12, "interrupted", "base + new")
        assert len(pooled.planned) == 12
        assert all(a < b for (a, _), (b, _) in pairwise(pooled.planned))

    def test_it_can_be_compared(self) -> None:
        pooled = pool([base_of(*a_side()), new_of(*a_side())])
        assert found(compare(pooled, new_of(*a_side(0.8), id="newer"))).outcome is Outcome.SLOWER

    def test_one_run_is_itself(self) -> None:
        assert pool([base_of(*a_side())]) == base_of(*a_side())

    @pytest.mark.parametrize(
        ("runs", "why"),
        [
            ([], "no run"),
            ([base_of(*a_side()), base_of(*a_side())], "given twice"),
            (
                [base_of(*a_side()), new_of(*a_side(), machine=a_machine(git_revision="other"))],
                "git revision",
            ),
            (
                [base_of(*a_side()), new_of(*a_side(name=a_deployment(workers=1)))],
                "settings of gevent-uwsgi",
            ),
        ],
    )
    def test_only_the_same_thing_is_pooled(self, runs: list[Run], why: str) -> None:
        with pytest.raises(UsageError, match=why):
            pool(runs)
