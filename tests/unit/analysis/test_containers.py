"""What a container costs, worked out by hand."""

from dataclasses import replace

import pytest

from bench.analysis.containers import container_costs
from bench.model import Trial
from bench.report.containers import container_grid
from tests.unit.factories import (
    a_deployment,
    a_failed_trial,
    a_machine,
    a_measurement,
    a_run,
    a_trial,
    a_usage,
)

BARE = a_deployment("gevent-uwsgi")
BOXED = replace(BARE, name="gevent-uwsgi@compose", runner="compose")


def without(number: int, rate: float) -> Trial:
    return a_trial(BARE, round=number, measurement=a_measurement(rate))


def within(number: int, rate: float) -> Trial:
    usage = {"server": a_usage(cpu_seconds=3.0), "docker-proxy": a_usage(cpu_seconds=0.4)}
    return a_trial(BOXED, round=number, measurement=a_measurement(rate), usage=usage)


def test_it_is_paired_by_round() -> None:
    # the machine was twice as fast in the second round, which changes no ratio
    run = a_run(without(1, 100), within(1, 80), within(2, 164), without(2, 200))
    (cost,) = container_costs(run)
    assert (cost.deployment, cost.rounds) == ("gevent-uwsgi", 2)
    assert cost.ratios["rps"].value == pytest.approx((0.80 * 0.82) ** 0.5)
    assert cost.ratios["cpu"].value == pytest.approx(1.5)
    estimate = cost.ratios["rps"].estimate
    assert estimate is not None
    assert estimate.paired
    assert estimate.interval.low < 0.8
    assert estimate.interval.high > 0.82
    assert cost.proxy_cpu_per_request == pytest.approx(0.4 / 2000)


def test_one_round_has_no_interval() -> None:
    run = a_run(within(1, 80), without(1, 100))
    (cost,) = container_costs(run)
    assert (cost.ratios["rps"].value, cost.ratios["rps"].estimate) == (0.8, None)
    grid = container_grid(run)
    assert grid is not None
    assert "1 round: no uncertainty known" in grid.caption
    shown = dict(
        zip((h.text for h in grid.headings), (c.text for c in grid.lines[0].cells), strict=True)
    )
    assert (shown["deployment"], shown["req/s"]) == ("gevent-uwsgi", "0.80×")
    assert shown["docker-proxy ms/req"] == "0.20"
    assert shown["start"] == "500 ms → 500 ms"


def test_what_is_not_known_on_both_sides_is_absent() -> None:
    bare = replace(without(1, 100), usage={})
    (cost,) = container_costs(a_run(bare, within(1, 80)))
    assert set(cost.ratios) == {"rps", "p50", "p99"}


def test_only_rounds_that_are_valid_on_both_sides_count() -> None:
    failed = a_failed_trial(BOXED, round=2)
    (cost,) = container_costs(a_run(without(1, 100), within(1, 80), without(2, 100), failed))
    assert cost.rounds == 1
    assert not container_costs(a_run(without(2, 100), failed))


def test_a_variant_beside_it_is_no_part_of_the_pair() -> None:
    variant = a_trial(replace(BARE, name="gevent-uwsgi@ares"), measurement=a_measurement(25))
    for trials in ((without(1, 100), variant), (variant, without(1, 100))):
        (cost,) = container_costs(a_run(*trials, within(1, 80)))
        assert cost.ratios["rps"].value == pytest.approx(0.8)


def test_there_is_none_where_deployments_ran_one_way() -> None:
    run = a_run(without(1, 100), without(2, 100))
    assert not container_costs(run)
    assert container_grid(run) is None


def test_another_python_in_the_images_is_told() -> None:
    def caption(inside: str) -> str:
        versions = {"python in flask-bench/uwsgi": inside}
        machine = a_machine(python="3.11.7", versions=versions)
        grid = container_grid(a_run(without(1, 100), within(1, 80), machine=machine))
        assert grid is not None
        return grid.caption

    assert "3.11.7 outside and 3.13.1 in the images" in caption("3.13.1")
    assert "in the images" not in caption("3.11.7")
