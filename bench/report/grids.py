"""The tables of the HTML page as plain cells: what they show, and what they are sorted by."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.analysis.bottleneck import verdict
from bench.analysis.summary import Row
from bench.model import Run, Trial
from bench.report import figures
from bench.report.percentiles import NAMES, percentiles_of
from bench.report.table import (
    CPU,
    DEPLOYMENT,
    FAILED,
    MEMORY,
    OF_CEILING,
    RATE,
    THREADS,
    WORKERS,
    Column,
    columns_for,
    load_text,
)
from bench.report.timeline import ROLES

MOST_TRIALS = 200
"""Trials that a table shows: a page has 2 MB for everything, and a trial takes up to 3 kB."""


@dataclass(frozen=True)
class Cell:
    """What is shown, and the number that it is sorted by (``None``: by its text, or last)."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Heading:
    """The head of a column."""

    text: str
    number: bool = True


@dataclass(frozen=True)
class Line:
    """One line, of one deployment; its first cell of text is its head."""

    deployment: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Grid:
    """A table with a name for those who do not see where it stands."""

    id: str
    caption: str
    headings: tuple[Heading, ...]
    lines: tuple[Line, ...]
    head: int = 0
    """Column that names the line."""


def ranking(rows: Sequence[Row]) -> Grid:
    """Return the table of the terminal."""
    columns = columns_for(rows)
    return _of_rows(
        "ranking", "All deployments, fastest first", columns, rows, columns.index(DEPLOYMENT)
    )


def ceiling(rows: Sequence[Row]) -> Grid:
    """Return what arithmetic allows each deployment, and the sum behind it."""
    columns = (
        DEPLOYMENT,
        Column("load", lambda row: load_text(row.load), right=False),
        RATE,
        Column(
            "ceiling req/s",
            lambda row: figures.rate(row.ceiling.requests_per_second if row.ceiling else None),
            value=lambda row: row.ceiling.requests_per_second if row.ceiling else None,
        ),
        OF_CEILING,
        Column("set by", lambda row: row.ceiling.bound_by if row.ceiling else "–", right=False),
        Column(
            "why so many",
            lambda row: row.ceiling.explanation if row.ceiling else "no request waits",
            right=False,
        ),
    )
    return _of_rows("ceiling", "The ceiling of each deployment", columns, rows)


def latency(run: Run, rows: Sequence[Row]) -> Grid:
    """Return the response times by percentile."""

    def line(row: Row) -> Line:
        times = percentiles_of(run, row.deployment.name).seconds
        cells = (Cell(figures.seconds(times.get(name)), times.get(name)) for name in NAMES)
        return Line(row.deployment.name, (Cell(row.deployment.name), *cells))

    return Grid(
        "latency",
        "Response times of valid responses: medians over the trials, and the slowest of all",
        (Heading("deployment", number=False), *map(Heading, NAMES)),
        tuple(line(row) for row in rows if row.valid_trials),
    )


def costs(rows: Sequence[Row]) -> Grid:
    """Return what a deployment takes: server and nginx together."""
    columns = (DEPLOYMENT, CPU, MEMORY, THREADS, WORKERS, FAILED)
    return _of_rows("costs", "What each deployment took, server and nginx together", columns, rows)


def usage(run: Run) -> Grid:
    """Return what each role of each trial used."""
    headings = ("CPU s", "busy cores", "threads before", "threads", "memory", "files", "processes")
    texts = (Heading("trial", number=False), Heading("role", number=False))
    lines = (line for trial in run.trials[:MOST_TRIALS] for line in _usage_lines(trial))
    return Grid(
        "usage",
        "What each role used during the load: CPU over the whole load, all else at its highest"
        + _cut(run),
        (*texts, *map(Heading, headings)),
        tuple(lines),
    )


def trial_name(trial: Trial) -> str:
    """Name a trial as people speak of it."""
    return f"{trial.deployment.name}, round {trial.round}"


def verdicts(run: Run, rows: Sequence[Row]) -> Grid:
    """Return what limited each trial, how one sees it, and what would help."""
    headings = (
        Heading("deployment", number=False),
        Heading("round"),
        Heading("req/s"),
        *(
            Heading(text, number=False)
            for text in ("limited by", "evidence", "doubts", "what to do")
        ),
    )
    order = [row.deployment.name for row in rows]
    trials = sorted(
        run.trials[:MOST_TRIALS], key=lambda t: (order.index(t.deployment.name), t.round)
    )
    lines = (_verdict_line(trial, run) for trial in trials)
    caption = f"Trials in the order of the ranking{_cut(run)}"
    return Grid("verdicts", caption, headings, tuple(lines))


def _cut(run: Run) -> str:
    left_out = len(run.trials) - MOST_TRIALS
    return f"; the last {left_out} trials are in run.json alone" if left_out > 0 else ""


def _verdict_line(trial: Trial, run: Run) -> Line:
    found = verdict(trial, run.workload, run.machine.cores)
    rate = trial.measurement.requests_per_second if trial.valid and trial.measurement else None
    if found is not None:
        doubts = "; ".join(found.warnings)
        texts = (found.limit, found.evidence, doubts or figures.UNKNOWN, found.remedy)
    else:
        texts = ("invalid", "see Failures", figures.UNKNOWN, "")
    return Line(
        trial.deployment.name,
        (
            Cell(trial.deployment.name),
            Cell(str(trial.round), trial.round),
            Cell(figures.rate(rate), rate),
            *(Cell(text or figures.UNKNOWN) for text in texts),
        ),
    )


def _of_rows(
    name: str, caption: str, columns: Sequence[Column], rows: Sequence[Row], head: int = 0
) -> Grid:
    return Grid(
        name,
        caption,
        tuple(Heading(column.heading, column.right) for column in columns),
        tuple(
            Line(row.deployment.name, tuple(_cell(column, row) for column in columns))
            for row in rows
        ),
        head,
    )


def _cell(column: Column, row: Row) -> Cell:
    return Cell(column.cell(row), column.value(row) if column.value else None)


def _usage_lines(trial: Trial) -> Iterator[Line]:
    seconds = trial.measurement.seconds if trial.measurement else None
    for role in sorted(trial.usage, key=lambda r: ROLES.index(r) if r in ROLES else len(ROLES)):
        used = trial.usage[role]
        cores = used.cpu_seconds / seconds if seconds else None
        numbers: tuple[tuple[Callable[[float | None], str], float | None], ...] = (
            (_decimal, used.cpu_seconds),
            (_decimal, cores),
            (figures.count, used.threads_before),
            (figures.count, used.threads_during),
            (figures.size, used.memory_bytes),
            (figures.count, used.open_files),
            (figures.count, used.processes_during),
        )
        cells = (Cell(show(value), value) for show, value in numbers)
        yield Line(trial.deployment.name, (Cell(trial_name(trial)), Cell(role), *cells))


def _decimal(value: float | None) -> str:
    return figures.UNKNOWN if value is None else f"{value:.2f}"
