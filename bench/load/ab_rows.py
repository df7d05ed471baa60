"""Response times of single requests, from the rows that ``ab -g`` writes."""

import csv
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from hdrh.histogram import HdrHistogram

from bench.model import Latency

LONGEST = 24 * 3600 * 1_000_000
"""Microseconds up to which a histogram counts: longer than any load."""
SIGNIFICANT_DIGITS = 3
"""A time in the histogram is at most 0.1% off: exact to the millisecond up to 2 s."""
ENOUGH_FOR_P999 = 1000
"""Responses; with fewer, the slowest of a thousand is not known."""


def latency_from_rows(path: Path) -> Latency | None:
    """Return the latency over all rows of the file; ``None`` if it has none or is none of ab's.

    ab rounds to whole milliseconds, so the counts per millisecond are the rows without loss, and
    half a million of them fit into a few kilobytes.
    """
    try:
        with path.open(newline="", errors="replace") as rows:
            reader = csv.reader(rows, delimiter="\t", quoting=csv.QUOTE_NONE)
            column = next(reader, []).index("ttime")
            # The few distinct texts are made numbers, and not each of the rows.
            texts = Counter(row[column] for row in reader)
        return latency_from_counts({int(text): count for text, count in texts.items()})
    except (OSError, IndexError, ValueError, csv.Error):
        return None


def latency_from_counts(milliseconds: Mapping[int, int]) -> Latency | None:
    """Return the latency of so many requests per whole millisecond, through an HDR histogram.

    Percentiles are by nearest rank: the least time within which at least that share was answered
    (Hyndman & Fan 1996, definition 1). Raises ValueError if a time is negative or over a day.
    """
    total = sum(milliseconds.values())
    if total == 0:
        return None
    histogram = _histogram(milliseconds)
    slowest = max(milliseconds)

    def quantile(share: float) -> float:
        # As a percentage of its own rank: asked for 99, the library rounds to the nearest rank,
        # which can be one too low.
        rank = math.ceil(round(share * total, 9))
        time = histogram.get_value_at_percentile(100 * rank / total)
        # It answers with the upper end of the time's class.
        return min(int(time) // 1000, slowest) / 1000

    return Latency(
        p50=quantile(0.5),
        p90=quantile(0.9),
        p99=quantile(0.99),
        p999=quantile(0.999) if total >= ENOUGH_FOR_P999 else None,
        max=slowest / 1000,
        histogram=histogram.encode().decode("ascii"),
    )


def _histogram(milliseconds: Mapping[int, int]) -> HdrHistogram:
    # In microseconds, although ab knows whole milliseconds only: generators that know better can
    # be set beside it.
    histogram = HdrHistogram(1, LONGEST, SIGNIFICANT_DIGITS)
    for time, count in milliseconds.items():
        # Once per distinct time: once per row takes seconds for half a million rows.
        if not histogram.record_value(time * 1000, count):
            raise ValueError(f"a response time of {time} ms")
    return histogram


SLOW_CONNECT = 0.95
"""Seconds. A refused handshake is repeated after 1 s at the earliest (RFC 6298), give or take a
tick; a loaded server on the same machine takes milliseconds."""


def slow_connects(path: Path) -> dict[str, int]:
    """Count the requests that needed a second or more to connect; empty if there are none.

    ``slow_connects`` is their number, ``slow_connects_after_3s`` and so on those of one repetition:
    after 1, 3, 7 s, and since Linux 6.5 (tcp_syn_linear_timeouts) after 1, 2, 3, 4, 5, 7 s.
    """
    try:
        with path.open(newline="", errors="replace") as rows:
            reader = csv.reader(rows, delimiter="\t", quoting=csv.QUOTE_NONE)
            column = next(reader, []).index("ctime")
            late = Counter(
                math.floor(int(row[column]) / 1000 + 1 - SLOW_CONNECT)
                for row in reader
                if int(row[column]) >= SLOW_CONNECT * 1000
            )
    except (OSError, IndexError, ValueError, csv.Error):
        return {}
    if not late:
        return {}
    each = {f"slow_connects_after_{seconds}s": late[seconds] for seconds in sorted(late)}
    return {"slow_connects": late.total(), **each}
