import io

import pytest
from rich.console import Console

from bench.model import Load, Trial
from bench.plan import PlannedTrial, estimated_seconds
from bench.report import figures
from bench.report.progress import SHOWN_PHASES, ProgressReport
from tests.unit.factories import a_deployment, a_failed_trial, a_trial, a_workload

PLAN = [PlannedTrial(1, a_deployment(name), Load(200, requests=2000)) for name in ("one", "two")]


def watched(*ended: Trial, terminal: bool = False, phases: tuple[str, ...] = ()) -> str:
    written = io.StringIO()
    console = Console(file=written, width=200, force_terminal=terminal)
    with ProgressReport(console, PLAN, a_workload()) as report:
        for index, trial in enumerate(ended):
            report.begins(PLAN[index], index)
            for phase in phases:
                report.progress(phase, 0.5)
            report.ended(trial)
    return written.getvalue()


def test_a_pipe_gets_a_line_per_trial_and_no_bar() -> None:
    text = watched(a_trial("one"), a_failed_trial("two", "it [never] came up"))
    assert text.splitlines() == [
        f"2 trials of api, about {figures.span(estimated_seconds(PLAN, a_workload()))}",
        "1/2 one: 180.0 req/s, 99% of the ceiling",
        "2/2 two: invalid: it [never] came up",
    ]


def test_an_invalid_trial_gets_no_rate() -> None:
    assert "180" not in watched(a_trial("one", failure="3 non_2xx"))


@pytest.mark.parametrize(("phase", "words"), SHOWN_PHASES.items())
def test_a_terminal_sees_the_phase_and_the_time_left(phase: str, words: str) -> None:
    text = watched(a_trial("one"), terminal=True, phases=(phase,))
    assert "\x1b[" in text
    assert "1/2 one: 180.0 req/s" in text
    # the bar is drawn at the latest when it ends, with what it was last told
    assert f"one: {words}" in text
    assert "s left" in text


def test_every_phase_of_a_trial_has_a_word() -> None:
    assert {"start", "verify", "warm-up", "load", "stop"} <= set(SHOWN_PHASES)
