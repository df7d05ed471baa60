from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load.ab_rows import latency_from_counts, latency_from_rows
from bench.model import Latency

DATA = Path(__file__).parents[2] / "data" / "ab"


def test_captured_rows_are_in_whole_milliseconds() -> None:
    assert latency_from_rows(DATA / "rows.tsv") == Latency(
        p50=0.004, p90=0.004, p99=0.004, max=0.004
    )


def test_quantiles_are_by_nearest_rank() -> None:
    counts = Counter(range(1, 101))
    assert latency_from_counts(counts) == Latency(p50=0.05, p90=0.09, p99=0.099, max=0.1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "starttime\tseconds\tctime\tdtime\tttime\twait\n",
        "starttime\tseconds\nSat\t1\n",
        "ttime\nmany\n",
        "seconds\tttime\n1\n",
    ],
)
def test_no_rows_no_latency(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text(text)
    assert latency_from_rows(path) is None


def test_no_file_no_latency(tmp_path: Path) -> None:
    assert latency_from_rows(tmp_path / "none.tsv") is None


@given(st.lists(st.integers(0, 10_000), min_size=1))
def test_quantiles_are_times_that_occurred_in_order(times: list[int]) -> None:
    latency = latency_from_counts(Counter(times))
    assert latency is not None
    in_order = [latency.p50, latency.p90, latency.p99, latency.max]
    assert in_order == sorted(in_order)
    assert {round(each * 1000) for each in in_order} <= set(times)
    assert latency.max == max(times) / 1000
