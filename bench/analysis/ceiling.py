"""The most requests per second that arithmetic allows, and that a load generator can report.

A closed loop over a handler that waits ``delay`` seconds runs in waves: as many requests as the
concurrency and the slots allow, each wave as long as the delay. A load generator that sends some
requests alone first spends a whole delay on each of them.
"""

import math
from dataclasses import dataclass
from typing import Literal

from bench.model import Load

Bound = Literal["concurrency", "slots", "pool"]
SAME_CEILING = 0.01
"""Ceilings closer than this are one: no run tells such a difference from noise."""


@dataclass(frozen=True)
class Ceiling:
    """The most that one trial can report, and why."""

    requests_per_second: float
    bound_by: Bound
    """What would have to grow for the ceiling to rise."""
    explanation: str
    """One line that shows the sum."""


def ceiling(
    load: Load,
    *,
    delay: float | None,
    slots: int | None,
    database_share: float = 0.0,
    connections: int | None = None,
    lone_requests: int = 1,
    generator: str = "ab",
) -> Ceiling | None:
    """Return the ceiling; ``None`` where requests do not wait, so that arithmetic sets no limit.

    ``delay``: seconds that a request waits. ``slots``: requests that the deployment holds at once,
    ``None`` if nothing bounds them. ``database_share``: the part of the delay for which a request
    holds one of ``connections`` to the database, over all processes (or, where a driver blocks
    its process, the number of processes). ``lone_requests``: those that the generator sends one
    by one before the others: 1 for ab, 0 for most.
    """
    if not delay:
        return None
    at_once = load.concurrency if slots is None else min(load.concurrency, slots)
    bound: Bound = "concurrency" if at_once == load.concurrency else "slots"
    alone = min(lone_requests, _most(load, delay))
    said = _said(alone, generator)

    least = 0 if alone else 1
    waves = _waves(load, alone, at_once, hold=delay, lead=alone * delay, least=least)
    total = _Total(load, alone, at_once, waves, seconds=(alone + waves) * delay)
    best = Ceiling(total.rate, bound, _text(said, total))

    held = database_share * delay
    if connections is None or held <= 0 or waves == 0:
        return best
    # A request waits elsewhere before it queues for the pool, which from then on never pauses.
    lead = alone * delay + delay - held
    waves = _waves(load, alone, connections, hold=held, lead=lead, least=1)
    total = _Total(load, alone, connections, waves, seconds=lead + waves * held)
    if total.rate >= best.requests_per_second:
        return best
    return Ceiling(total.rate, "pool", _text(said, total, f" that hold the pool {held:g} s"))


@dataclass(frozen=True)
class _Total:
    """What goes through a place that passes ``at_once`` requests in each of ``waves``."""

    load: Load
    alone: int
    at_once: int
    waves: int
    seconds: float

    @property
    def done(self) -> int:
        return self.load.requests or self.alone + self.waves * self.at_once

    @property
    def width(self) -> int:
        return min(self.at_once, self.done - self.alone)

    @property
    def rate(self) -> float:
        return self.done / self.seconds

    @property
    def sum(self) -> str:
        return f"{self.done} / {self.seconds:g} s"


def _most(load: Load, delay: float) -> int:
    """Return how many requests a load sends if they go one by one."""
    if load.requests is not None:
        return load.requests
    return max(1, _ceil((load.duration or 0) / delay))


def _waves(load: Load, alone: int, at_once: int, *, hold: float, lead: float, least: int) -> int:
    if load.requests is not None:
        return -(-(load.requests - alone) // at_once)
    # A run by time ends with the first answers at or after its end, and they count.
    return max(least, _ceil(((load.duration or 0) - lead) / hold))


def _ceil(ratio: float) -> int:
    # Rounded first: 1.1 / 0.1 is a little more than 11, and would make a wave too many.
    return math.ceil(round(ratio, 6))


def _said(alone: int, generator: str) -> str:
    if alone == 0:
        return ""
    requests = "one request" if alone == 1 else f"{alone} requests one by one"
    return f"{generator} sends {requests} alone first"


def _text(said: str, total: _Total, held: str = "") -> str:
    count = "1 wave" if total.waves == 1 else f"{total.waves} waves"
    waves = f"{count} of {total.width}{held}" if total.waves else ""
    return f"{', then '.join(filter(None, (said, waves)))}: {total.sum}"
