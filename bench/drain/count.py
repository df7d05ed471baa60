"""Counts requests around an event: whose fate belongs to it, and what became of them."""

from collections import Counter
from collections.abc import Iterable, Sequence

from bench.drain.model import LOST, Exchange, Fate, Probe, Readiness

MOST_EXAMPLES = 3


def concerned(exchanges: Iterable[Exchange], began: float, until: float) -> tuple[Exchange, ...]:
    """Return the requests that were under way at some moment of an event.

    What ended before it is none of its business; what began when it was over met either nobody
    (after a stop) or a deployment that serves again.
    """
    return tuple(e for e in exchanges if e.began < until and e.ended >= began)


def counted(exchanges: Iterable[Exchange]) -> dict[Fate, int]:
    """Return every fate with its number, 0 included."""
    found = Counter(exchange.fate for exchange in exchanges)
    return {fate: found[fate] for fate in Fate}


def in_flight(exchanges: Iterable[Exchange], moment: float) -> int:
    """Return how many requests were under way at a moment."""
    return sum(e.began <= moment < e.ended and e.fate is not Fate.REFUSED for e in exchanges)


def failed_before(exchanges: Iterable[Exchange], began: float) -> Exchange | None:
    """Return a request that failed before the event began, if there is one.

    One that met a closed connection did not fail: servers may close those whenever they like.
    """
    well = (Fate.ANSWERED, Fate.STALE)
    failed = (e for e in exchanges if e.ended < began and e.fate not in well)
    return next(failed, None)


def slowest(exchanges: Iterable[Exchange]) -> float | None:
    """Return the seconds of the slowest right answer; ``None`` without any."""
    return max((e.ended - e.began for e in exchanges if e.fate is Fate.ANSWERED), default=None)


def examples(exchanges: Iterable[Exchange]) -> tuple[str, ...]:
    """Return what was lost, the most frequent first."""
    found = Counter(f"{e.fate}: {e.detail}" for e in exchanges if e.fate in LOST)
    return tuple(f"{count} {what}" for what, count in found.most_common(MOST_EXAMPLES))


def readiness(probes: Sequence[Probe], began: float, until: float) -> Readiness | None:
    """Say what a load balancer could have learned from the readiness check, and when.

    Returns:
        ``None`` if there is no such check.

    """
    if not any(probe.state == "up" for probe in probes):
        return None
    for probe in probes:
        if began <= probe.at < until and probe.state != "up":
            return Readiness(probe.state, probe.at - began)
    return Readiness("up")
