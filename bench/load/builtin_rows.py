"""A row per request of the built-in client: as the client writes them, and as they are read."""

import csv
import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FATES = ("answered", "connect", "timeout", "receive", "malformed", "status", "body")
"""What becomes of a request: answered rightly, or what was the first thing wrong with it."""
COLUMNS = ("start", "request", "fate", "ctime", "ttime")
"""Of the rows, named as in those of ab: ctime is what it took to connect, ttime all of it."""
ANSWERED, *FAILURES = FATES
MICROSECONDS = 1_000_000  # in a second


class Rows:
    """What became of each request, in columns: half a million objects would keep Python busy."""

    def __init__(self) -> None:
        self.asked = array("H")
        self.fates = array("B")
        self.began, self.connected, self.ended = array("d"), array("d"), array("d")
        """By the monotonic clock; not a number: it never connected."""

    def __len__(self) -> int:
        return len(self.asked)

    def add(
        self, asked: int, fate: str, began: float, connected: float | None, ended: float
    ) -> None:
        """Note one."""
        self.asked.append(asked)
        self.fates.append(FATES.index(fate))
        self.began.append(began)
        self.connected.append(math.nan if connected is None else connected)
        self.ended.append(ended)

    @property
    def start(self) -> float:
        """When the first one began."""
        return min(self.began, default=0.0)

    @property
    def seconds(self) -> float:
        """How long it took until the last one had ended."""
        return max(self.ended, default=0.0) - self.start

    def lines(self) -> Iterator[str]:
        """Yield a heading and a line for each, with times in microseconds."""
        yield "\t".join(COLUMNS)
        start = self.start
        columns = (self.asked, self.fates, self.began, self.connected, self.ended)
        for asked, fate, began, connected, ended in zip(*columns, strict=True):
            connect = "" if math.isnan(connected) else _micro(connected - began)
            row = (_micro(began - start), asked, FATES[fate], connect, _micro(ended - began))
            yield "\t".join(map(str, row))


@dataclass
class Seen:
    """What the rows say of one of the requests."""

    fates: Counter[str] = field(default_factory=Counter)
    times: Counter[int] = field(default_factory=Counter)
    """Microseconds → right answers that took so long."""
    connects: Counter[float] = field(default_factory=Counter)
    """Seconds → connections that took so long."""
    in_time: int = 0
    """Requests that ended within the time that was asked for."""

    @property
    def failed(self) -> int:
        """Requests without a right answer."""
        return self.fates.total() - self.fates[ANSWERED]


def read(rows: Path, asks: int, within: float = math.inf) -> tuple[Seen, ...]:
    """Return what the rows say of each request; ``within``: seconds that were asked for."""
    found: defaultdict[int, Seen] = defaultdict(Seen)
    for start, asked, fate, connect, time in _rows(rows):
        seen = found[asked]
        seen.fates[fate] += 1
        seen.in_time += start + time <= within * MICROSECONDS
        if fate == ANSWERED:
            seen.times[time] += 1
        if connect is not None:
            seen.connects[connect] += 1
    return tuple(found[number] for number in range(asks))


def _rows(file: Path) -> Iterator[tuple[int, int, str, float | None, int]]:
    with file.open(newline="", encoding="utf-8") as text:
        for row in csv.DictReader(text, delimiter="\t", quoting=csv.QUOTE_NONE):
            connect = round(int(row["ctime"]) / MICROSECONDS, 2) if row["ctime"] else None
            yield int(row["start"]), int(row["request"]), row["fate"], connect, int(row["ttime"])


def _micro(seconds: float) -> int:
    return round(seconds * MICROSECONDS)
