"""What was seen of one URL of the app, served under gevent: numbers only, judged elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass

Place = tuple[str, int, str]
"""File (relative to the app's folder), line, function."""


@dataclass(frozen=True)
class Block:
    """A greenlet ran for so long without letting any other run."""

    seconds: float
    """Without those in which the machine had no core for it."""
    cpu: float
    """Seconds of it that the loop's thread computed."""
    place: Place | None
    """The app's own innermost line; ``None``: it was in nobody's code but a library's."""


@dataclass(frozen=True)
class Opened:
    """Connections or processes that were begun at one place."""

    kind: str
    """``connection``, ``database`` or ``process``."""
    what: str
    place: Place | None
    count: int


@dataclass(frozen=True)
class Snapshot:
    """The process at one moment, and what it has done since counting began."""

    cpu: float
    queued: float
    """Seconds that the loop was ready to run while others had the cores."""
    threads: int
    files: Mapping[str, int]
    """What is open (``socket``, ``pipe``, a path …) → how often."""
    blocks: tuple[Block, ...]
    opened: tuple[Opened, ...]


@dataclass(frozen=True)
class Answer:
    """What the client got."""

    status: int
    location: str | None
    seconds: float


@dataclass(frozen=True)
class Observed:
    """All of it."""

    url_path: str
    alone: tuple[Answer, ...]
    """One after the other."""
    together: tuple[Answer, ...]
    """All at once."""
    together_seconds: float
    before: Snapshot
    after_alone: Snapshot
    after: Snapshot

    @property
    def one(self) -> float:
        """Seconds that a request takes alone: the median."""
        times = sorted(answer.seconds for answer in self.alone)
        return times[len(times) // 2]


def snapshot(told: Mapping[str, object]) -> Snapshot:
    """Return what the served process tells of itself."""
    blocks = told["blocks"]
    opened = told["opened"]
    if not (isinstance(blocks, list) and isinstance(opened, list)):
        raise TypeError("the served process tells something else than it should")
    files = told["files"]
    return Snapshot(
        float(str(told["cpu"])),
        float(str(told["queued"])),
        int(str(told["threads"])),
        {str(k): int(v) for k, v in files.items()} if isinstance(files, dict) else {},
        tuple(map(block, blocks)),
        tuple(
            Opened(str(kind), str(what), place(where), int(count))
            for kind, what, where, count in opened
        ),
    )


def block(told: Mapping[str, object]) -> Block:
    """Return one block of those that the served process tells of."""
    return Block(float(str(told["seconds"])), float(str(told["cpu"])), place(told["place"]))


def place(told: object) -> Place | None:
    """Return a place, which JSON has as a list."""
    if not isinstance(told, list):
        return None
    file, line, function = told
    return str(file), int(line), str(function)
