"""Response times and late connections of a load, from how many requests took how long."""

import math
from collections import Counter
from collections.abc import Mapping

from hdrh.histogram import HdrHistogram

from bench.model import Latency

LONGEST = 24 * 3600 * 1_000_000
"""Microseconds up to which a histogram counts: longer than any load."""
SIGNIFICANT_DIGITS = 3
"""A time in the histogram is at most 0.1% off: exact to the millisecond up to 2 s."""
ENOUGH_FOR_P999 = 1000
"""Responses; with fewer, the slowest of a thousand is not known."""
MILLISECOND = 1000
"""Microseconds."""
SLOW_CONNECT = 0.95
"""Seconds. A refused handshake is repeated after 1 s at the earliest (RFC 6298), give or take a
tick; a loaded server on the same machine takes milliseconds."""


def latency_from_counts(counts: Mapping[int, int], unit: int = MILLISECOND) -> Latency | None:
    """Return the latency of so many requests per whole unit, through an HDR histogram.

    Percentiles are by nearest rank: the least time within which at least that share was answered
    (Hyndman & Fan 1996, definition 1). Raises ValueError if a time is negative or over a day.

    Args:
        counts: time in units → requests.
        unit: microseconds; a generator that knows milliseconds only can be set beside one that
            knows better.

    """
    total = sum(counts.values())
    if total == 0:
        return None
    histogram = _histogram(counts, unit)
    slowest = max(counts)

    def quantile(share: float) -> float:
        # As a percentage of its own rank: asked for 99, the library rounds to the nearest rank,
        # which can be one too low.
        rank = math.ceil(round(share * total, 9))
        time = histogram.get_value_at_percentile(100 * rank / total)
        # It answers with the upper end of the time's class.
        return min(int(time) // unit, slowest) * unit / 1_000_000

    return Latency(
        p50=quantile(0.5),
        p90=quantile(0.9),
        p99=quantile(0.99),
        p999=quantile(0.999) if total >= ENOUGH_FOR_P999 else None,
        max=slowest * unit / 1_000_000,
        histogram=histogram.encode().decode("ascii"),
    )


def late_connects(seconds: Counter[float]) -> dict[str, int]:
    """Count the requests that needed a second or more to connect; empty if there are none.

    ``slow_connects`` is their number, ``slow_connects_after_3s`` and so on those of one repetition:
    after 1, 3, 7 s, and since Linux 6.5 (tcp_syn_linear_timeouts) after 1, 2, 3, 4, 5, 7 s.
    """
    late: Counter[int] = Counter()
    for time, count in seconds.items():
        if time >= SLOW_CONNECT:
            late[math.floor(time + 1 - SLOW_CONNECT)] += count
    if not late:
        return {}
    each = {f"slow_connects_after_{after}s": late[after] for after in sorted(late)}
    return {"slow_connects": late.total(), **each}


def _histogram(counts: Mapping[int, int], unit: int) -> HdrHistogram:
    histogram = HdrHistogram(1, LONGEST, SIGNIFICANT_DIGITS)
    for time, count in counts.items():
        # Once per distinct time: once per row takes seconds for half a million rows.
        if not histogram.record_value(time * unit, count):
            raise ValueError(f"a response time of {time * unit} µs")
    return histogram
