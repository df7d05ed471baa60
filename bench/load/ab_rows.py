"""What became of single requests, from the rows that ``ab -g`` writes."""

import csv
from collections import Counter
from pathlib import Path

from bench.load.latency import late_connects, latency_from_counts
from bench.model import Latency


def latency_from_rows(path: Path) -> Latency | None:
    """Return the latency over all rows of the file; ``None`` if it has none or is none of ab's.

    ab rounds to whole milliseconds, so the counts per millisecond are the rows without loss, and
    half a million of them fit into a few kilobytes.
    """
    try:
        return latency_from_counts(_counts(path, "ttime"))
    except (OSError, IndexError, ValueError, csv.Error):
        return None


def slow_connects(path: Path) -> dict[str, int]:
    """Count the requests that needed a second or more to connect, as `late_connects` does."""
    try:
        counts = _counts(path, "ctime")
    except (OSError, IndexError, ValueError, csv.Error):
        return {}
    return late_connects(Counter({time / 1000: count for time, count in counts.items()}))


def _counts(path: Path, name: str) -> Counter[int]:
    """Return how often each whole number stands in a column."""
    with path.open(newline="", errors="replace") as rows:
        reader = csv.reader(rows, delimiter="\t", quoting=csv.QUOTE_NONE)
        column = next(reader, []).index(name)
        # The few distinct texts are made numbers, and not each of the rows.
        texts = Counter(row[column] for row in reader)
    return Counter({int(text): count for text, count in texts.items()})
