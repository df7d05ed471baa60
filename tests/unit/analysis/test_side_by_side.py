"""Variants beside their deployments, and ours beside the peers, worked out by hand."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from bench.analysis.side_by_side import beside_peers, variant_effects
from bench.model import Run, Trial
from bench.report import markdown, terminal
from bench.report.html import run_report
from bench.report.sections import sections
from bench.report.side_by_side import PEERS, VARIANTS
from tests.unit.factories import a_deployment, a_failed_trial, a_measurement, a_run, a_trial

OURS = a_deployment("gevent-uwsgi")
SLOWER = a_deployment("gevent-gunicorn")
ARES = a_deployment("gevent-uwsgi@ares", title="uWSGI + gevent: another resolver")
PEER = a_deployment("peer-sanic", group="peers")


def rounds(rates: Mapping[str, tuple[float, ...]]) -> Run:
    by_name = {each.name: each for each in (OURS, SLOWER, ARES, PEER)}
    trials = [
        a_trial(by_name[name], round=number, measurement=a_measurement(rate))
        for name, of_rounds in rates.items()
        for number, rate in enumerate(of_rounds, 1)
    ]
    return a_run(*trials, rounds=max(map(len, rates.values())))


RUN = rounds(
    {
        "gevent-uwsgi": (100, 200, 150),
        "gevent-gunicorn": (50, 100, 75),
        "gevent-uwsgi@ares": (110, 222, 164),
        "peer-sanic": (80, 162, 121),
    }
)


def test_a_variant_is_paired_with_what_it_changes() -> None:
    (effect,) = variant_effects(RUN)
    assert (effect.deployment, effect.base, effect.rounds) == (ARES.name, OURS.name, 3)
    assert effect.ratios["rps"].value == pytest.approx((1.1 * 1.11 * (164 / 150)) ** (1 / 3))
    estimate = effect.ratios["rps"].estimate
    assert estimate is not None
    assert estimate.paired
    assert estimate.interval.low < 1.1 < estimate.interval.high


def test_with_two_runners_it_is_paired_with_the_one_of_its_own() -> None:
    boxed = replace(OURS, runner="compose")
    local = replace(OURS, name="gevent-uwsgi@local")
    ares = replace(ARES, name="gevent-uwsgi@ares@local")
    rates = ((boxed, 50), (local, 100), (ares, 110))
    (effect,) = variant_effects(
        a_run(*(a_trial(each, measurement=a_measurement(rate)) for each, rate in rates))
    )
    assert (effect.deployment, effect.base) == (ares.name, local.name)
    assert effect.ratios["rps"].value == pytest.approx(1.1)


def test_the_fastest_of_ours_stands_beside_each_peer() -> None:
    (beside,) = beside_peers(RUN)
    assert (beside.deployment, beside.base) == (OURS.name, PEER.name)
    assert beside.ratios["rps"].value == pytest.approx(1.24, abs=0.01)


def test_only_rounds_in_which_both_are_valid_count() -> None:
    trials: list[Trial] = [*RUN.trials, a_failed_trial(OURS, round=4)]
    trials.append(a_trial(ARES, round=4, measurement=a_measurement(9999)))
    (effect,) = variant_effects(a_run(*trials))
    assert effect.rounds == 3


def test_without_a_pair_there_is_nothing() -> None:
    alone = rounds({"gevent-uwsgi@ares": (1, 2), "gevent-gunicorn": (1, 2)})
    assert variant_effects(alone) == ()
    assert beside_peers(alone) == ()
    assert sections(alone) == {}
    assert beside_peers(rounds({"peer-sanic": (1, 2)})) == ()


def test_one_round_says_that_it_knows_no_uncertainty() -> None:
    grid = sections(rounds({"gevent-uwsgi": (100,), "gevent-uwsgi@ares": (110,)}))[VARIANTS]
    assert grid.caption.endswith("1 round: no uncertainty known.")
    assert [cell.text for cell in grid.lines[0].cells][:3] == [
        "gevent-uwsgi@ares", "another resolver", "1.10×",
    ]  # fmt: skip


def test_every_report_has_both_tables() -> None:
    text = markdown.run_report(RUN)
    for title in (VARIANTS, PEERS):
        assert f"**{title}**" in text
        assert title in run_report(RUN, None)
    assert "| gevent-uwsgi@ares | another resolver | 1.1" in text
    assert "| gevent-uwsgi | peer-sanic | 1.24×" in text
    shown = "\n".join(str(part) for part in terminal.run_report(RUN))
    assert VARIANTS in shown
    assert PEERS in shown


def test_peers_have_a_table_of_their_own() -> None:
    text = markdown.run_report(RUN)
    ours, heading, peers = text.partition("peers, for comparison:")
    assert heading
    assert "| gevent-gunicorn |" in ours
    assert "| peer-sanic |" not in ours
    assert "| peer-sanic |" in peers


def test_a_brief_report_leaves_the_verdicts_out() -> None:
    assert "remedy:" in markdown.run_report(RUN)
    brief = markdown.run_report(RUN, brief=True)
    assert "remedy:" not in brief
    assert f"**{VARIANTS}**" in brief
