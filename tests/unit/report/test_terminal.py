import io
from typing import Literal

import pytest
from rich.console import Console, RenderableType

from bench.catalog import load_catalog
from bench.model import Run
from bench.report import catalog as catalog_report
from bench.report.terminal import run_report
from tests.unit.factories import a_failed_trial, a_run, a_trial


def printed(parts: object, *, width: int = 200, terminal: bool = False) -> str:
    written = io.StringIO()
    colours: Literal["auto", "standard"] = "standard" if terminal else "auto"
    console = Console(file=written, width=width, force_terminal=terminal, color_system=colours)
    for part in parts:  # type: ignore[attr-defined]
        renderable: RenderableType = part
        console.print(renderable, highlight=False)
    return written.getvalue()


def line_of(run: Run, name: str) -> str:
    (line,) = [x for x in printed(run_report(run)).splitlines() if x.startswith(f"{name} ")]
    return line


def test_a_pipe_gets_no_colours_and_a_terminal_does() -> None:
    run = a_run(a_trial(), a_failed_trial())
    assert "\x1b" not in printed(run_report(run))
    assert "\x1b[" in printed(run_report(run), terminal=True)


def test_title_rows_notes_and_problems_in_this_order() -> None:
    run = a_run(a_trial(), a_failed_trial("sync-uwsgi", "it never came up"))
    text = printed(run_report(run))
    places = [
        text.index(words)
        for words in (
            "api: one call to the sleepy API",
            "req/s",
            "gevent-uwsgi",
            "ab 2.3, ",
            "sync-uwsgi: it never came up",
        )
    ]
    assert places == sorted(places)


def test_a_failed_trial_shows_no_number() -> None:
    cells = line_of(a_run(a_failed_trial("devserver")), "devserver").replace("4 × 2000", "")
    assert not any(map(str.isdigit, cells))


@pytest.mark.parametrize("reason", ["[red]not markup[/red]", "[/]", "list[int] and [x]"])
def test_a_reason_is_shown_as_it_is(reason: str) -> None:
    assert f"sync-uwsgi: {reason}" in printed(run_report(a_run(a_failed_trial(failure=reason))))


def test_the_catalog_says_what_to_copy() -> None:
    catalog = load_catalog()
    text = printed(catalog_report.for_terminal(catalog))
    for deployment in catalog.deployments.values():
        assert deployment.title in text
        assert ", ".join(deployment.copy) in text
    for workload in catalog.workloads.values():
        assert workload.url_path() in text
