"""What each role did over a trial, read from the samples that lie in the trial's folder."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

SAMPLES_FILE = "samples.csv"
ROLES = ("server", "nginx", "docker-proxy", "api", "postgres", "client", "harness")
"""In the order in which they are shown; others follow."""
MOST_BYTES = 32 * 1024 * 1024
"""A larger file is none of the sampler's: an hour of all roles takes a fifth of it."""

SHORTEST = 0.1
"""Seconds over which CPU makes a rate: the kernel counts it in steps of a hundredth."""


@dataclass(frozen=True)
class Moment:
    """One role at one moment; ``None``: not looked at then, or not told."""

    seconds: float
    cpu_cores: float | None
    """CPU seconds per second since the moment before: 1 is one busy core."""
    threads: int | None
    processes: int | None
    memory_bytes: int | None
    open_files: int | None
    connections: int | None


@dataclass(frozen=True)
class Timeline:
    """One role over one trial."""

    role: str
    moments: tuple[Moment, ...]

    def peak(self, figure: Callable[[Moment], float | None]) -> float | None:
        """Return the highest value of a figure; ``None`` if it was never seen."""
        return max((v for m in self.moments if (v := figure(m)) is not None), default=None)


def read_timelines(folder: Path) -> tuple[Timeline, ...]:
    """Return the timelines of a trial's folder, the deployment's own roles first.

    Rows that are damaged are left out, and columns that are missing are unknown: a folder without
    any samples has no timelines.
    """
    file = folder / SAMPLES_FILE
    samples: dict[str, list[Mapping[str, str]]] = {}
    try:
        if file.stat().st_size > MOST_BYTES:
            return ()
        with file.open(newline="", encoding="utf-8", errors="replace") as stream:
            for row in csv.DictReader(stream):
                if row.get("role") and _number(row, "seconds") is not None:
                    samples.setdefault(row["role"], []).append(row)
    except (OSError, csv.Error):
        return ()
    return tuple(Timeline(role, tuple(_moments(samples[role]))) for role in _in_order(samples))


def thinned(timeline: Timeline, most: int) -> Timeline:
    """Return the timeline with about so many moments, every peak kept.

    Neighbours become one moment: its CPU is their mean, because CPU is a rate, and every other
    figure is the highest of theirs, because a short peak is what a reader looks for.
    """
    moments = timeline.moments
    size = -(-len(moments) // max(1, most))
    if size <= 1:
        return timeline
    groups = (moments[at : at + size] for at in range(0, len(moments), size))
    return Timeline(timeline.role, tuple(_merged(group) for group in groups))


def _in_order(roles: Iterable[str]) -> list[str]:
    known = {role: place for place, role in enumerate(ROLES)}
    return sorted(roles, key=lambda role: (known.get(role, len(known)), role))


def _moments(rows: Sequence[Mapping[str, str]]) -> Iterable[Moment]:
    before: tuple[float, float] | None = None
    for row in rows:
        at, spent = _number(row, "seconds"), _number(row, "cpu_seconds")
        if at is None or (before is not None and at < before[0]):
            continue
        yield Moment(
            seconds=at,
            cpu_cores=_rate(before, at, spent),
            threads=_count(row, "threads"),
            processes=_count(row, "processes"),
            memory_bytes=_count(row, "memory_bytes"),
            open_files=_count(row, "open_files"),
            connections=_count(row, "connections"),
        )
        if spent is not None and (before is None or at - before[0] >= SHORTEST):
            before = at, spent


def _rate(before: tuple[float, float] | None, at: float, spent: float | None) -> float | None:
    if before is None or spent is None or at - before[0] < SHORTEST:
        return None
    return max(0.0, spent - before[1]) / (at - before[0])


def _number(row: Mapping[str, str], column: str) -> float | None:
    try:
        value = float(row.get(column) or "")
    except (ValueError, TypeError):  # a cell too many makes the last one a list
        return None
    return value if isfinite(value) and value >= 0 else None


def _count(row: Mapping[str, str], column: str) -> int | None:
    value = _number(row, column)
    return None if value is None else int(value)


def _merged(group: Sequence[Moment]) -> Moment:
    rates = [m.cpu_cores for m in group if m.cpu_cores is not None]

    def highest(values: Iterable[int | None]) -> int | None:
        return max((v for v in values if v is not None), default=None)

    return Moment(
        seconds=group[-1].seconds,
        cpu_cores=sum(rates) / len(rates) if rates else None,
        threads=highest(m.threads for m in group),
        processes=highest(m.processes for m in group),
        memory_bytes=highest(m.memory_bytes for m in group),
        open_files=highest(m.open_files for m in group),
        connections=highest(m.connections for m in group),
    )
