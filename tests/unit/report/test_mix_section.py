"""The reports show each request of a scenario where a run has one, and only there."""

import pytest
from rich.console import Console

from bench.model import Latency, MixedRequest, Request, RequestMeasurement, Run
from bench.report import html, markdown, terminal
from bench.report.mix import TITLE, mix_grid
from tests.unit.factories import a_measurement, a_run, a_trial, a_workload

MIX = (
    MixedRequest("/[red]<b>", 3.0),
    MixedRequest("/cart", request=Request("POST")),
)


def seen(requests: int, p50: float, slowest: float) -> RequestMeasurement:
    return RequestMeasurement(requests, 0, Latency(p50=p50, p90=p50, p99=p50, max=slowest))


def a_mixed_run() -> Run:
    workload = a_workload("own", delay=None, body=None, mix=MIX)
    trials = [
        a_trial(measurement=a_measurement(mix=(seen(1500, p50, 0.2), seen(500, 1.0, slowest))))
        for p50, slowest in ((0.01, 1.5), (0.03, 1.2), (0.02, 1.1))
    ]
    return a_run(*trials, workload=workload)


def test_requests_are_added_and_times_are_medians_but_for_the_slowest() -> None:
    grid = mix_grid(a_mixed_run())
    assert grid is not None
    assert [[cell.text for cell in line.cells] for line in grid.lines] == [
        ["gevent-uwsgi", "/[red]<b>", "75%", "4,500", "20 ms", "20 ms", "20 ms", "200 ms"],
        ["gevent-uwsgi", "POST /cart", "25%", "1,500", "1.00 s", "1.00 s", "1.00 s", "1.50 s"],
    ]


def test_a_run_of_one_request_has_none() -> None:
    assert mix_grid(a_run(a_trial())) is None


def test_a_path_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    run = a_mixed_run()
    page = html.run_report(run, None)
    assert f'<h2 id="mix-title">{TITLE}</h2>' in page
    assert "/[red]&lt;b&gt;" in page
    assert "/[red]<b>" not in page
    assert "75% /\\[red\\]" in markdown.run_report(run)
    console = Console(width=200)
    for part in terminal.run_report(run):
        console.print(part)
    assert "/[red]<b>" in capsys.readouterr().out
