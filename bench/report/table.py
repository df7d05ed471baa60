"""The table of a run as plain cells: the terminal and Markdown show the same."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.analysis.summary import Row, summarise
from bench.model import Deployment, Load, Run
from bench.report import figures
from bench.report.findings import at_ceiling
from bench.report.problems import problems


@dataclass(frozen=True)
class Column:
    """One column: its heading, and the cell of a row."""

    heading: str
    cell: Callable[[Row], str]
    right: bool = True
    value: Callable[[Row], float | None] | None = None
    """What a numeric column is sorted by; ``None``: by its text."""


def _workers(row: Row) -> str:
    deployment = row.deployment
    if not deployment.command:  # whatever is up there, nobody said
        return figures.UNKNOWN
    if deployment.slots is None:
        return f"{deployment.processes} × ∞"
    each = deployment.threads or deployment.async_cores or 1
    return f"{deployment.processes} × {each}"


def _threads(row: Row) -> str:
    return f"{figures.count(row.threads_before)} → {figures.count(row.threads_during)}"


def _interval(row: Row) -> str:
    interval = row.interval
    if interval is None:
        return figures.UNKNOWN
    return f"{figures.rate(interval.low)} – {figures.rate(interval.high)}"


def _number(
    heading: str, show: Callable[[float | None], str], value: Callable[[Row], float | None]
) -> Column:
    return Column(heading, lambda row: show(value(row)), value=value)


DEPLOYMENT = Column("deployment", lambda row: row.deployment.name, right=False)
RANK = _number("rank", figures.count, lambda row: row.rank)
RATE = _number("req/s", figures.rate, lambda row: row.requests_per_second)
INTERVAL = Column("interval", _interval, value=lambda row: row.requests_per_second)
OF_CEILING = _number("of ceiling", figures.percent, lambda row: row.of_ceiling)
FAILED = _number("failed", figures.count, lambda row: row.failed)
CPU = _number("CPU ms/req", figures.milliseconds, lambda row: row.cpu_per_request)
MEMORY = _number("memory", figures.size, lambda row: row.memory_bytes)
THREADS = Column("threads", _threads, value=lambda row: row.threads_during)
WORKERS = Column("workers", _workers, value=lambda row: row.deployment.slots)
LIMITED_BY = Column(
    "limited by", lambda row: row.verdict.limit if row.verdict else figures.UNKNOWN, False
)


def columns_for(rows: Sequence[Row]) -> tuple[Column, ...]:
    """Return the columns; those that would be empty for every row are left out."""
    return (
        *((RANK,) if any(row.rank is not None for row in rows) else ()),
        DEPLOYMENT,
        RATE,
        *((INTERVAL,) if any(row.interval for row in rows) else ()),
        *((OF_CEILING,) if any(row.ceiling for row in rows) else ()),
        _number("p50", figures.seconds, lambda row: row.p50),
        _number("p99", figures.seconds, lambda row: row.p99),
        _number("max", figures.seconds, lambda row: row.slowest),
        FAILED,
        CPU,
        MEMORY,
        THREADS,
        WORKERS,
        LIMITED_BY,
    )


@dataclass(frozen=True)
class Table:
    """Cells and what stands around them."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]
    """What has no valid result, and why."""


def table_of(run: Run, *, brief: bool = False) -> Table:
    """Return a run's table: ours first, then those of each group.

    ``brief``: the notes leave out what limited each deployment, and what is in doubt there.
    """
    rows = tuple(sorted(summarise(run), key=lambda row: row.deployment.group or ""))
    return Table(
        title=f"{run.workload.name}: {run.workload.purpose}",
        columns=columns_for(rows),
        rows=rows,
        notes=tuple(_notes(run, rows, brief=brief)),
        problems=problems(run),
    )


def load_text(load: Load) -> str:
    """Describe a load as ab's own options would."""
    if load.requests is not None:
        return f"n={load.requests} c={load.concurrency}"
    return f"{load.duration:g} s c={load.concurrency}"


def slots_text(deployment: Deployment) -> str:
    """Describe how many requests it holds at once, and why so many."""
    if deployment.slots is None:
        return f"{deployment.processes} × no bound"
    each = deployment.threads or deployment.async_cores or 1
    unit = "threads" if deployment.threads else "async cores" if deployment.async_cores else "slot"
    return f"{deployment.processes} × {each} {unit}"


def _notes(run: Run, rows: tuple[Row, ...], *, brief: bool) -> list[str]:
    machine = run.machine
    load = run.workload.request_text()
    notes = [
        f"{run.generator}, {load}; {run.started}, run {run.id}",
        f"{machine.cores} × {machine.cpu}, {machine.memory_bytes / 1024**3:.0f} GiB,"
        f" {machine.system}, Linux {machine.kernel}, Python {machine.python}"
        f" {_uwsgi(run)}".rstrip(),
    ]
    notes += _ceilings(rows)
    notes += filter(None, [at_ceiling(run, [row for row in rows if row.valid_trials])])
    if not brief:
        notes += [note for row in rows for note in _verdict(row)]
    if run.rounds == 1 and not any(note.startswith("1 round") for note in run.notes):
        notes.append("1 round: no uncertainty known")
    return notes + list(run.notes)


def _verdict(row: Row) -> Iterator[str]:
    """Say what limited a deployment, how one sees it, what to do, and what to doubt."""
    if row.verdict is None:
        return
    name = row.deployment.name
    if not row.verdict.by_arithmetic:  # the ceiling is explained once for all
        yield f"{name}: {row.verdict.limit}: {row.verdict.evidence}; remedy: {row.verdict.remedy}"
    if row.verdict.warnings:
        yield f"{name}: in doubt: {'; '.join(row.verdict.warnings)}"


def _ceilings(rows: tuple[Row, ...]) -> list[str]:
    """Explain each ceiling once, for all deployments that share it."""
    shared: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.ceiling:
            limit = f"ceiling {figures.rate(row.ceiling.requests_per_second)} req/s"
            key = (
                load_text(row.load),
                f"{limit} by {row.ceiling.bound_by}: {row.ceiling.explanation}",
            )
        else:
            key = load_text(row.load), "no request waits, so arithmetic sets no ceiling"
        shared.setdefault(key, []).append(row.deployment.name)
    return [
        f"{load}: {limit}" + (f" ({', '.join(names)})" if len(shared) > 1 else "")
        for (load, limit), names in shared.items()
    ]


def _uwsgi(run: Run) -> str:
    for package in ("uwsgi", "pyuwsgi"):
        if package in run.machine.versions:
            return f"(uWSGI: package {package} {run.machine.versions[package]})"
    return ""
