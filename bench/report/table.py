"""The table of a run as plain cells: the terminal and Markdown show the same."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.analysis.summary import Row, summarise
from bench.model import Deployment, Load, Run
from bench.report import figures


@dataclass(frozen=True)
class Column:
    """One column: its heading, and the cell of a row."""

    heading: str
    cell: Callable[[Row], str]
    right: bool = True


def _workers(row: Row) -> str:
    deployment = row.deployment
    if deployment.slots is None:
        return "1 × ∞"
    each = deployment.threads or deployment.async_cores or 1
    return f"{deployment.processes} × {each}"


def _threads(row: Row) -> str:
    return f"{figures.count(row.threads_before)} → {figures.count(row.threads_during)}"


COLUMNS = (
    Column("deployment", lambda row: row.deployment.name, right=False),
    Column("req/s", lambda row: figures.rate(row.requests_per_second)),
    Column("of ceiling", lambda row: figures.percent(row.of_ceiling)),
    Column("p50", lambda row: figures.seconds(row.p50)),
    Column("p99", lambda row: figures.seconds(row.p99)),
    Column("max", lambda row: figures.seconds(row.slowest)),
    Column("failed", lambda row: figures.count(row.failed)),
    Column("CPU ms/req", lambda row: figures.milliseconds(row.cpu_per_request)),
    Column("memory", lambda row: figures.size(row.memory_bytes)),
    Column("threads", _threads),
    Column("workers", _workers),
    Column("limited by", lambda row: row.verdict.limit if row.verdict else figures.UNKNOWN, False),
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


def table_of(run: Run) -> Table:
    """Return a run's table."""
    rows = summarise(run)
    return Table(
        title=f"{run.workload.name}: {run.workload.purpose}",
        columns=COLUMNS,
        rows=rows,
        notes=tuple(_notes(run, rows)),
        problems=tuple(_problems(run, rows)),
    )


def load_text(load: Load) -> str:
    """Describe a load as ab's own options would."""
    if load.requests is not None:
        return f"n={load.requests} c={load.concurrency}"
    return f"{load.duration:g} s c={load.concurrency}"


def slots_text(deployment: Deployment) -> str:
    """Describe how many requests it holds at once, and why so many."""
    if deployment.slots is None:
        return "a thread per request"
    each = deployment.threads or deployment.async_cores or 1
    unit = "threads" if deployment.threads else "async cores" if deployment.async_cores else "slot"
    return f"{deployment.processes} × {each} {unit}"


def _notes(run: Run, rows: tuple[Row, ...]) -> list[str]:
    machine = run.machine
    load = run.workload.url_path()
    notes = [
        f"{run.generator}, {load}; {run.started}, run {run.id}",
        f"{machine.cores} × {machine.cpu}, {machine.memory_bytes / 1024**3:.0f} GiB,"
        f" {machine.system}, Linux {machine.kernel}, Python {machine.python}"
        f" {_uwsgi(run)}".rstrip(),
    ]
    notes += _ceilings(rows)
    notes += [
        f"{row.deployment.name}: {row.verdict.limit}: {row.verdict.evidence}"
        for row in rows
        if row.verdict and not row.verdict.by_arithmetic
    ]
    if run.rounds == 1:
        notes.append("1 round: no uncertainty known")
    return notes + list(run.notes)


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


def _problems(run: Run, rows: tuple[Row, ...]) -> list[str]:
    problems = [f"{row.deployment.name}: {reason}" for row in rows for reason in row.failures]
    problems += [f"{name}: skipped: {reason}" for name, reason in run.skipped.items()]
    missing = len(run.planned) - len(run.trials)
    if missing:
        how = "interrupted" if run.status == "interrupted" else "cut short"
        problems.append(f"the run was {how}: {missing} of {len(run.planned)} trials are missing")
    return problems
