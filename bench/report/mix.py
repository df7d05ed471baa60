"""The table of a scenario: what became of each of its requests, by deployment."""

from collections.abc import Sequence
from statistics import median

from bench.analysis.summary import summarise
from bench.model import Latency, RequestMeasurement, Run
from bench.report import figures
from bench.report.grids import Cell, Grid, Heading, Line

TITLE = "Each request of the scenario"
TIMES = ("p50", "p90", "p99", "max")
HEADINGS = (
    Heading("deployment", number=False),
    Heading("request", number=False),
    Heading("of all"),
    Heading("requests"),
    *map(Heading, TIMES),
)


def mix_grid(run: Run) -> Grid | None:
    """Return the requests of a scenario; ``None`` where the run has one request only."""
    lines = tuple(
        _line(name, request.text(), share, [parts[index] for parts in trials])
        for name, trials in _measured(run).items()
        for index, (share, request) in enumerate(run.workload.shares())
    )
    if not lines:
        return None
    caption = (
        "Response times of the valid responses to each request, medians over the valid trials;"
        " max over all of them. Requests of one load share its clients: a slow one holds them."
    )
    return Grid("mix", caption, HEADINGS, lines)


def _measured(run: Run) -> dict[str, list[tuple[RequestMeasurement, ...]]]:
    """Return what was seen in each valid trial, by deployment in the order of the ranking."""
    found: dict[str, list[tuple[RequestMeasurement, ...]]] = {
        row.deployment.name: [] for row in summarise(run)
    }
    for trial in run.trials:
        if trial.valid and trial.measurement and trial.measurement.mix:
            found[trial.deployment.name].append(trial.measurement.mix)
    return {name: trials for name, trials in found.items() if trials}


def _line(deployment: str, text: str, share: float, seen: Sequence[RequestMeasurement]) -> Line:
    requests = sum(s.requests for s in seen)
    return Line(
        deployment,
        (
            Cell(deployment),
            Cell(text),
            Cell(figures.percent(share), share),
            Cell(figures.count(requests), requests),
            *(_time(name, [s.latency for s in seen if s.latency]) for name in TIMES),
        ),
    )


def _time(name: str, latencies: Sequence[Latency]) -> Cell:
    times = [getattr(latency, name) for latency in latencies]
    if not times:
        return Cell(figures.UNKNOWN)
    value = max(times) if name == "max" else median(times)
    return Cell(figures.seconds(value), value)
