import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from bench.load.ab_rows import latency_from_rows, slow_connects
from bench.load.latency import latency_from_counts
from bench.model import Latency

DATA = Path(__file__).parents[2] / "data" / "ab"


def test_captured_rows_are_in_whole_milliseconds() -> None:
    latency = latency_from_rows(DATA / "rows.tsv")
    assert latency is not None
    assert replace(latency, histogram=None) == Latency(p50=0.004, p90=0.004, p99=0.004, max=0.004)


def test_quantiles_are_by_nearest_rank() -> None:
    latency = latency_from_counts(Counter(range(1, 101)))
    assert latency is not None
    assert replace(latency, histogram=None) == Latency(p50=0.05, p90=0.09, p99=0.099, max=0.1)


def test_a_rank_is_never_rounded_down() -> None:
    """99% of 151 are 149.49: within the 149th time, only 98.7% were answered."""
    latency = latency_from_counts(Counter(range(1, 152)))
    assert latency is not None
    assert latency.p99 == 0.150


@pytest.mark.parametrize(("responses", "p999"), [(999, None), (1000, 0.999)])
def test_p999_needs_a_thousand_responses(responses: int, p999: float | None) -> None:
    latency = latency_from_counts(Counter(range(1, responses + 1)))
    assert latency is not None
    assert latency.p999 == p999


def test_the_histogram_holds_every_response_in_microseconds() -> None:
    latency = latency_from_counts({4: 900, 1003: 99, 7000: 1})
    assert latency is not None
    assert latency.histogram is not None
    kept = HdrHistogram.decode(latency.histogram)
    assert kept.get_total_count() == 1000
    assert kept.get_value_at_percentile(50) == pytest.approx(4_000, rel=1e-3)
    assert kept.get_value_at_percentile(99) == pytest.approx(1_003_000, rel=1e-3)
    assert kept.get_max_value() == pytest.approx(7_000_000, rel=1e-3)


def test_half_a_million_rows_are_read_within_a_second(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    row = "Sat Nov 21 00:00:00 2026\t1795219200\t0\t{0}\t{0}\t{0}\n"
    rows = "".join(row.format(4 + number % 3000) for number in range(500_000))
    path.write_text("starttime\tseconds\tctime\tdtime\tttime\twait\n" + rows)
    began = time.process_time()
    assert latency_from_rows(path) is not None
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "starttime\tseconds\tctime\tdtime\tttime\twait\n",
        "starttime\tseconds\nSat\t1\n",
        "ttime\nmany\n",
        "seconds\tttime\n1\n",
        "ttime\n-1\n",
        "ttime\n99999999999\n",
    ],
)
def test_no_rows_no_latency(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text(text)
    assert latency_from_rows(path) is None


def test_no_file_no_latency(tmp_path: Path) -> None:
    assert latency_from_rows(tmp_path / "none.tsv") is None


@given(st.lists(st.integers(0, 100_000), min_size=1))
def test_quantiles_are_in_order_and_near_times_that_occurred(
    times: list[int],
) -> None:
    latency = latency_from_counts(Counter(times))
    assert latency is not None
    in_order = [latency.p50, latency.p90, latency.p99, latency.max]
    assert in_order == sorted(in_order)
    for each in in_order:
        assert min(abs(each - time / 1000) for time in times) <= each / 1000
    assert latency.max == max(times) / 1000


class TestSlowConnects:
    def rows(self, folder: Path, *milliseconds: int) -> Path:
        file = folder / "ab.tsv"
        lines = [f"Sat Nov 21\t1\t{time}\t5\t{time + 5}\t4" for time in milliseconds]
        file.write_text("\n".join(["starttime\tseconds\tctime\tdtime\tttime\twait", *lines, ""]))
        return file

    def test_they_are_counted_by_the_seconds_of_their_repetitions(self, tmp_path: Path) -> None:
        file = self.rows(tmp_path, 0, 3, 949, 950, 1012, 1040, 3090, 7010)
        assert slow_connects(file) == {
            "slow_connects": 5,
            "slow_connects_after_1s": 3,
            "slow_connects_after_3s": 1,
            "slow_connects_after_7s": 1,
        }

    def test_none_is_nothing_to_tell(self, tmp_path: Path) -> None:
        assert slow_connects(self.rows(tmp_path, 0, 3)) == {}

    def test_neither_is_a_file_that_is_none_of_abs(self, tmp_path: Path) -> None:
        (tmp_path / "odd").write_text("a\tb\n1\t2\n")
        assert slow_connects(tmp_path / "odd") == {}
        assert slow_connects(tmp_path / "missing") == {}
