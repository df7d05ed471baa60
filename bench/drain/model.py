"""What happens to requests while a deployment is stopped, reloaded or hurt.

Times are seconds of the system's monotonic clock, which all processes share.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Fate(StrEnum):
    """How a request ended."""

    ANSWERED = "answered"
    """With the right answer, whole."""
    WRONG = "wrong"
    """With another answer: 5xx of a server or proxy, or a body that is not the right one."""
    CUT = "cut"
    """The server had read it and closed the connection without a whole answer."""
    UNREAD = "unread"
    """Connected and sent, then reset: the server closed the connection before it had read the
    request. Mostly it waited in the listen queue and was never accepted."""
    SILENT = "silent"
    """Nothing came within the time limit."""
    STALE = "stale"
    """Sent over a kept-alive connection that the server was just closing. HTTP clients send a GET
    again by themselves then; a POST they must not (RFC 9110, section 9.2.2)."""
    REFUSED = "refused"
    """Nobody listened, so nothing was sent: a client or load balancer may safely try elsewhere."""


LOST = (Fate.UNREAD, Fate.CUT, Fate.WRONG, Fate.SILENT)
"""What no client can mend without the risk that the request is carried out twice."""

EVENTS: Mapping[str, str] = {
    "stop": "the server is told to stop",
    "reload": "the app is loaded anew, by the server's own means",
    "kill": "a worker is ended by SIGKILL",
    "recycle": "workers end after so many requests, and others take their places",
}
MUST_NOT_LOSE = ("stop", "reload", "recycle")
"""Events in which any lost request is a fault. A killed worker takes with it what it had."""


@dataclass(frozen=True)
class Exchange:
    """One request, from the wish to connect to its end."""

    began: float
    ended: float
    fate: Fate
    detail: str = ""
    """What came instead of the right answer."""


@dataclass(frozen=True)
class Probe:
    """One look at the readiness check, over a connection of its own."""

    at: float
    state: str
    """``up``, ``down`` (it said so), ``refused`` or ``lost``."""


@dataclass(frozen=True)
class Seen:
    """What the load client has to tell."""

    exchanges: tuple[Exchange, ...]
    probes: tuple[Probe, ...]
    """None, if the app has no readiness check."""


@dataclass(frozen=True)
class Happened:
    """When an event began and was over, and what it took with it."""

    began: float
    ended: float
    still_up: bool
    """Whether the deployment serves afterwards."""
    own: int | None = None
    """Connections that a killed worker held in its hands; ``None``: none was killed."""


@dataclass(frozen=True)
class Readiness:
    """What the readiness check told of an event."""

    state: str
    """``up`` all the time, or else the first other state of a `Probe`."""
    after: float | None = None
    """Seconds from the event's beginning until that."""


@dataclass(frozen=True)
class DrainTrial:
    """One fresh start of a deployment, one event under load, and what that cost."""

    deployment: str
    event: str
    round: int
    by: str
    """What was done, so that a reader can do the same."""
    counts: Mapping[Fate, int] = field(default_factory=dict)
    """Fates of the requests that were under way, or began, while the event lasted."""
    in_flight: int | None = None
    """Requests under way when it began; ``None``: it has no such moment."""
    own: int | None = None
    seconds: float | None = None
    """How long the event lasted."""
    slowest: float | None = None
    """Seconds of the slowest right answer among those requests."""
    readiness: Readiness | None = None
    """``None``: the app has no readiness check."""
    examples: tuple[str, ...] = ()
    """What was lost, and how many of it."""
    failure: str | None = None
    """Why it could not be carried out; ``None``: it was."""

    @property
    def lost(self) -> int:
        """Requests that were lost."""
        return sum(self.counts.get(fate, 0) for fate in LOST)

    @property
    def at_fault(self) -> int:
        """Lost requests that need not have been lost.

        A killed worker's own are its own. A process that is alone loses its listener, too.
        """
        if self.event in MUST_NOT_LOSE:
            return self.lost
        return max(0, self.lost - self.own) if self.own is not None else 0


@dataclass(frozen=True)
class DrainRun:
    """All trials of one call, and under what load."""

    command: tuple[str, ...]
    machine: str
    path: str
    concurrency: int
    keep_alive: bool
    rounds: int
    seed: int
    trials: tuple[DrainTrial, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    """``deployment: event`` → why there is no such trial."""
    interrupted: bool = False
