"""What was sampled: one role at one moment, as CSV, and summed up."""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.model import RoleUsage
from bench.observe.processes import Role


@dataclass
class Sample:
    """One role at one moment; ``None``: not looked at just then, or not told by this system."""

    cpu_seconds: float
    """Since sampling began."""
    threads: int
    processes: int
    memory_bytes: int | None = None
    open_files: int | None = None
    connections: int | None = None
    """TCP connections to the role's own ports (for the client: from it), without TIME_WAIT."""
    established: int | None = None
    close_wait: int | None = None
    time_wait: int | None = None
    """Only in the first and the last sample: there can be tens of thousands."""
    accept_queue: int | None = None
    """Connections that wait to be accepted."""
    backlog: int | None = None
    """The most that may wait so."""
    states: Counter[str] = field(default_factory=Counter)
    """State → connections in it."""


COLUMNS = (
    "cpu_seconds", "threads", "processes", "memory_bytes", "open_files", "connections",
    "established", "close_wait", "time_wait", "accept_queue", "backlog",
)  # fmt: skip

Moment = tuple[float, str, Sample]
"""Seconds since sampling began, the role, and what was seen."""


def write_csv(moments: Iterable[Moment], file: Path) -> None:
    """Write one row per role and moment; a cell is empty where nothing is known."""
    with file.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["seconds", "role", *COLUMNS])
        for seconds, role, sample in moments:
            values = [getattr(sample, column) for column in COLUMNS[1:]]
            rows.writerow([f"{seconds:.3f}", role, f"{sample.cpu_seconds:.3f}", *values])


def summary(samples: Sequence[Sample], idle: Sample | None = None) -> RoleUsage:
    """Return what one role used, from all its samples.

    Args:
        samples: in order of time, at least one.
        idle: what it was before the first request; ``None``: it was not there.

    """
    most = Counter[str]()
    for sample in samples:
        most |= sample.states  # of counters that is the larger of each count
    return RoleUsage(
        cpu_seconds=samples[-1].cpu_seconds,
        memory_bytes=_most(samples, "memory_bytes"),
        processes_before=idle.processes if idle else 0,
        processes_during=max(s.processes for s in samples),
        threads_before=idle.threads if idle else 0,
        threads_during=max(s.threads for s in samples),
        open_files=_most(samples, "open_files"),
        connections=dict(most),
    )


def figures(role: Role, samples: Sequence[Sample], *, workers: bool) -> dict[str, float]:
    """Return what else there is to know of one role, under names that say what it is.

    ``accept_queue`` (the longest seen) and ``backlog`` where it listens. With ``workers``, for each
    of its processes ``<number>.cpu_seconds`` and ``<number>.connections``: the files that it held
    open beyond those of the first moment, on average over the load.
    """
    found: dict[str, float] = {}
    for name in ("accept_queue", "backlog"):
        if (most := _most(samples, name)) is not None:
            found[name] = most
    for number, each in enumerate(role.all if workers else (), 1):
        found[f"{number}.cpu_seconds"] = round(each.cpu_seconds - each.cpu_at_start, 3)
        # The first look is before the load, the last one after it.
        if during := each.held[1:-1]:
            found[f"{number}.connections"] = round(sum(during) / len(during) - each.held[0], 1)
    return found


def _most(samples: Iterable[Sample], name: str) -> int | None:
    return max((n for s in samples if (n := getattr(s, name)) is not None), default=None)
