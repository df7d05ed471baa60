"""Response times of single requests, from the rows that ``ab -g`` writes."""

import csv
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from bench.model import Latency


def latency_from_rows(path: Path) -> Latency | None:
    """Return the latency over all rows of the file; ``None`` if it has none or is none of ab's.

    ab rounds to whole milliseconds, so the counts per millisecond are the rows without loss, and
    half a million of them fit into a few kilobytes.
    """
    try:
        with path.open(newline="", errors="replace") as rows:
            reader = csv.reader(rows, delimiter="\t", quoting=csv.QUOTE_NONE)
            column = next(reader, []).index("ttime")
            counts = Counter(int(row[column]) for row in reader)
    except (OSError, IndexError, ValueError, csv.Error):
        return None
    return latency_from_counts(counts)


def latency_from_counts(milliseconds: Mapping[int, int]) -> Latency | None:
    """Return the latency of a histogram: milliseconds → number of requests."""
    total = sum(milliseconds.values())
    if total == 0:
        return None
    in_order = sorted(milliseconds.items())

    def quantile(share: float) -> float:
        # Nearest rank: the least time within which at least this share was answered.
        rank = math.ceil(round(share * total, 9))
        seen = 0
        for time, count in in_order:
            seen += count
            if seen >= rank:
                return time / 1000
        return in_order[-1][0] / 1000

    return Latency(p50=quantile(0.5), p90=quantile(0.9), p99=quantile(0.99), max=quantile(1))
