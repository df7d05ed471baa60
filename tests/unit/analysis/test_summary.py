import pytest

from bench.analysis.metrics import cpu_per_request, memory
from bench.analysis.summary import Row, summarise
from bench.model import Latency, Load, Verification
from tests.unit.factories import (
    a_deployment,
    a_failed_trial,
    a_measurement,
    a_run,
    a_trial,
    a_usage,
    a_workload,
)

MIB = 1024**2


def latency(p50: float, p99: float, slowest: float) -> Latency:
    return Latency(p50=p50, p90=p99, p99=p99, max=slowest)


def only_row(*trials: object) -> Row:
    (row,) = summarise(a_run(*trials))  # type: ignore[arg-type]
    return row


class TestOrder:
    def test_the_fastest_first_and_those_without_a_result_last(self) -> None:
        rows = summarise(
            a_run(
                a_failed_trial("broken"),
                a_trial("slow", measurement=a_measurement(10)),
                a_trial("fast", measurement=a_measurement(100)),
                a_trial("invalid", measurement=a_measurement(1000), failure="3 non_2xx"),
                a_trial("middle", measurement=a_measurement(50)),
            )
        )
        assert [row.deployment.name for row in rows] == [
            *("fast", "middle", "slow"),
            *("broken", "invalid"),
        ]

    def test_a_run_without_trials_has_no_rows(self) -> None:
        assert summarise(a_run()) == ()


class TestMedians:
    ROW = only_row(
        *(
            a_trial(
                measurement=a_measurement(rate, latency=latency(p50, p99, slowest)),
                usage={"server": a_usage(cpu_seconds=cpu, memory_bytes=memory * MIB)},
            )
            for rate, p50, p99, slowest, cpu, memory in [
                (100.0, 1.0, 2.0, 3.0, 2.0, 90),
                (300.0, 1.2, 2.5, 9.0, 6.0, 110),
                (110.0, 1.1, 2.2, 4.0, 4.0, 100),
            ]
        ),
        a_failed_trial("gevent-uwsgi", "it was cold"),
        a_failed_trial("gevent-uwsgi", "it was cold"),
    )

    def test_over_the_valid_trials(self) -> None:
        row = self.ROW
        assert (row.trials, row.valid_trials) == (5, 3)
        assert row.requests_per_second == 110.0
        assert (row.p50, row.p99) == (1.1, 2.2)
        assert row.cpu_per_request == pytest.approx(0.002)
        assert row.memory_bytes == 100 * MIB

    def test_the_slowest_is_of_all(self) -> None:
        assert self.ROW.slowest == 9.0

    def test_a_reason_is_told_once(self) -> None:
        assert self.ROW.failures == ("it was cold",)

    def test_the_part_of_the_ceiling(self) -> None:
        assert self.ROW.of_ceiling == pytest.approx(110 / (2000 / 11))


class TestAbsence:
    def test_a_failed_trial_has_no_figures(self) -> None:
        row = only_row(a_failed_trial())
        assert (row.trials, row.valid_trials) == (1, 0)
        for figure in (
            *(row.requests_per_second, row.of_ceiling, row.p50, row.p99, row.slowest, row.failed),
            *(row.cpu_per_request, row.memory_bytes, row.threads_before, row.threads_during),
            *(row.served_at_once, row.verdict),
        ):
            assert figure is None

    def test_an_invalid_trial_shows_its_failures_and_no_rate(self) -> None:
        measured = a_measurement(failures={"non_2xx": 7, "length": 3}, latency=None)
        row = only_row(a_trial(measurement=measured, failure="7 non_2xx"))
        assert row.failed == 7
        assert row.requests_per_second is None
        assert row.cpu_per_request is None
        assert row.verdict is None

    def test_without_a_ceiling_there_is_no_part_of_it(self) -> None:
        (row,) = summarise(a_run(a_trial(), workload=a_workload(delay=0.0)))
        assert row.ceiling is None
        assert row.of_ceiling is None
        assert row.requests_per_second == 180.0

    def test_memory_that_is_not_told_is_not_a_part_of_a_sum(self) -> None:
        usage = {"server": a_usage(memory_bytes=None), "nginx": a_usage()}
        assert memory(a_trial(usage=usage)) is None

    def test_no_requests_no_cost_of_one(self) -> None:
        assert cpu_per_request(a_trial(measurement=a_measurement(requests=0))) is None
        assert cpu_per_request(a_trial(measurement=None)) is None


class TestOwnCost:
    TRIAL = a_trial(
        usage={
            "server": a_usage(cpu_seconds=2.0, memory_bytes=100, threads_before=5),
            "nginx": a_usage(cpu_seconds=1.0, memory_bytes=30, threads_before=3),
            "api": a_usage(cpu_seconds=50.0, memory_bytes=5000, threads_before=99),
            "postgres": a_usage(cpu_seconds=50.0, memory_bytes=5000, threads_before=99),
        }
    )

    def test_server_and_proxy_and_not_what_they_are_tested_with(self) -> None:
        assert cpu_per_request(self.TRIAL) == pytest.approx(3 / 2000)
        assert memory(self.TRIAL) == 130
        assert only_row(self.TRIAL).threads_before == 8


class TestServedAtOnce:
    def test_the_lowest_of_all_trials(self) -> None:
        def proof(count: int | None) -> Verification:
            return Verification(10, 0.5, 20, 0.5, count)

        row = only_row(*(a_trial(verification=proof(count)) for count in (9, None, 4)))
        assert row.served_at_once == 4


def test_a_row_has_the_settings_and_load_that_it_ran_with() -> None:
    deployment = a_deployment(workers=8)
    row = only_row(a_trial(deployment, load=Load(5, requests=10)))
    assert row.deployment == deployment
    assert row.load == Load(5, requests=10)
