"""Which requests belong to an event, and what became of them."""

from dataclasses import replace

import pytest

from bench.drain import count
from bench.drain.model import DrainTrial, Exchange, Fate, Happened, Probe, Readiness, Seen
from bench.drain.trial import told
from bench.errors import TrialError

BEFORE = Exchange(0.0, 0.9, Fate.ANSWERED)
ACROSS = Exchange(0.5, 1.5, Fate.ANSWERED)
WITHIN = Exchange(1.1, 1.9, Fate.UNREAD, "reset")
BEYOND = Exchange(1.9, 2.9, Fate.CUT, "closed")
AFTER = Exchange(2.0, 2.1, Fate.REFUSED)
ALL = (BEFORE, ACROSS, WITHIN, BEYOND, AFTER)
TRIAL = DrainTrial("gevent-uwsgi", "stop", 1, "SIGTERM")


def test_a_request_belongs_to_an_event_if_it_was_under_way_in_it() -> None:
    assert count.concerned(ALL, 1.0, 2.0) == (ACROSS, WITHIN, BEYOND)


def test_every_fate_is_counted_also_those_that_nobody_met() -> None:
    assert count.counted([ACROSS, WITHIN, WITHIN]) == {
        **dict.fromkeys(Fate, 0), Fate.ANSWERED: 1, Fate.UNREAD: 2
    }  # fmt: skip


def test_a_refused_request_was_never_in_flight() -> None:
    refused = replace(ACROSS, fate=Fate.REFUSED)
    assert count.in_flight([BEFORE, ACROSS, refused, WITHIN], 1.0) == 1


def test_only_right_answers_have_a_time() -> None:
    assert count.slowest([ACROSS, replace(WITHIN, ended=60.0)]) == 1.0
    assert count.slowest([WITHIN]) is None


def test_examples_are_of_the_lost_ones_and_the_most_frequent_come_first() -> None:
    assert count.examples([BEYOND, WITHIN, ACROSS, AFTER, WITHIN]) == (
        "2 unread: reset",
        "1 cut: closed",
    )


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((), None),
        (("refused", "refused", "refused"), None),
        (("up", "up", "up"), Readiness("up")),
        (("up", "down", "refused"), Readiness("down", 0.5)),
        (("up", "up", "refused"), Readiness("up")),
    ],
    ids=["no probes", "no such check", "up", "down first", "down when it was over"],
)
def test_what_readiness_told(states: tuple[str, ...], expected: Readiness | None) -> None:
    probes = [Probe(at, state) for at, state in zip((0.5, 1.5, 2.5), states, strict=False)]
    assert count.readiness(probes, 1.0, 2.0) == expected


def test_a_trial_counts_what_was_under_way_in_it() -> None:
    happened = Happened(1.0, 1.6, still_up=False, own=None)

    trial = told(TRIAL, Seen(ALL, (Probe(0.5, "up"),)), happened, until=1.6)

    assert (trial.in_flight, trial.lost, trial.at_fault) == (1, 1, 1)
    assert trial.counts[Fate.ANSWERED] == 1
    assert trial.seconds == pytest.approx(0.6)
    assert trial.readiness == Readiness("up")
    assert trial.examples == ("1 unread: reset",)


def test_a_failure_before_the_event_spoils_the_trial() -> None:
    early = replace(BEFORE, fate=Fate.WRONG, detail="status 502")
    with pytest.raises(TrialError, match=r"before the event began \(wrong: status 502\)"):
        told(TRIAL, Seen((early, ACROSS), ()), Happened(1.0, 1.6, still_up=True), until=2.0)


def test_a_connection_that_a_server_has_closed_spoils_nothing() -> None:
    assert count.failed_before([BEFORE, replace(BEFORE, fate=Fate.STALE)], 1.0) is None


@pytest.mark.parametrize(
    ("event", "lost", "own", "expected"),
    [
        ("stop", 2, None, 2),
        ("reload", 2, None, 2),
        ("recycle", 2, None, 2),
        ("kill", 2, 5, 0),
        ("kill", 7, 5, 2),
        ("kill", 7, None, 0),
    ],
)
def test_a_killed_worker_may_lose_its_own_and_nobody_else_anything(
    event: str, lost: int, own: int | None, expected: int
) -> None:
    trial = replace(TRIAL, event=event, counts={Fate.CUT: lost, Fate.REFUSED: 9}, own=own)
    assert (trial.lost, trial.at_fault) == (lost, expected)
