from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.timeline import Moment, Timeline, read_timelines, thinned

HEAD = "seconds,role,cpu_seconds,threads,processes,memory_bytes,open_files,connections\n"


def read(folder: Path, text: str) -> dict[str, tuple[Moment, ...]]:
    (folder / "samples.csv").write_text(text)
    return {timeline.role: timeline.moments for timeline in read_timelines(folder)}


def moment(seconds: float, **figures: float) -> Moment:
    return Moment(
        seconds=seconds,
        cpu_cores=figures.get("cpu_cores"),
        threads=int(figures["threads"]) if "threads" in figures else None,
        processes=None,
        memory_bytes=None,
        open_files=None,
        connections=None,
    )


class TestReading:
    def test_a_line_per_role_its_own_first(self, tmp_path: Path) -> None:
        rows = "".join(f"0.0,{role},0,1,1,,,\n" for role in ("zebra", "client", "api", "server"))
        assert list(read(tmp_path, HEAD + rows)) == ["server", "api", "client", "zebra"]

    def test_cpu_becomes_busy_cores(self, tmp_path: Path) -> None:
        text = HEAD + "0.0,server,1.0,5,5,,,\n0.5,server,2.0,6,5,1048576,12,200\n"
        first, second = read(tmp_path, text)["server"]
        assert (first.cpu_cores, first.threads, first.memory_bytes) == (None, 5, None)
        assert second == Moment(0.5, 2.0, 6, 5, 1048576, 12, 200)

    def test_a_last_sample_right_after_another_is_no_rate(self, tmp_path: Path) -> None:
        text = HEAD + "0.0,server,0,1,1,,,\n1.0,server,1,1,1,,,\n1.01,server,1.02,1,1,,,\n"
        assert [m.cpu_cores for m in read(tmp_path, text)["server"]] == [None, 1.0, None]

    def test_cpu_that_falls_is_nothing_and_not_negative(self, tmp_path: Path) -> None:
        text = HEAD + "0.0,server,5,1,1,,,\n1.0,server,4,1,1,,,\n"
        assert read(tmp_path, text)["server"][1].cpu_cores == 0.0

    def test_samples_of_before_these_columns(self, tmp_path: Path) -> None:
        text = "seconds,role,cpu_seconds,threads,processes,memory_bytes\n0.0,server,0.1,1,1,\n"
        assert read(tmp_path, text)["server"] == (Moment(0.0, None, 1, 1, None, None, None),)

    @pytest.mark.parametrize(
        "row",
        [
            "nan,server,1,1,1,,,",
            "-1,server,1,1,1,,,",
            "x,server,1,1,1,,,",
            "1.0,,1,1,1,,,",
            "server",
            "",
        ],
    )
    def test_a_damaged_row_is_left_out(self, tmp_path: Path, row: str) -> None:
        text = HEAD + f"0.0,server,1,1,1,,,\n{row}\n"
        assert len(read(tmp_path, text)["server"]) == 1

    def test_a_damaged_cell_is_unknown(self, tmp_path: Path) -> None:
        (only,) = read(tmp_path, HEAD + "0.0,server,?,many,1,inf,-3,,surplus\n")["server"]
        assert only == Moment(0.0, None, None, 1, None, None, None)

    def test_no_file_no_timelines(self, tmp_path: Path) -> None:
        assert read_timelines(tmp_path) == ()
        assert read_timelines(tmp_path / "nowhere") == ()

    @given(st.binary(max_size=400))
    def test_rubbish_is_survived(self, tmp_path_factory: pytest.TempPathFactory, b: bytes) -> None:
        folder = tmp_path_factory.mktemp("rubbish")
        (folder / "samples.csv").write_bytes(HEAD.encode() + b)
        read_timelines(folder)


class TestThinning:
    def test_a_short_one_stays_as_it_is(self) -> None:
        timeline = Timeline("server", (moment(0), moment(1)))
        assert thinned(timeline, 2) is timeline

    def test_peaks_stay_and_cpu_is_a_mean(self) -> None:
        timeline = Timeline(
            "server",
            tuple(moment(n, threads=99 if n == 3 else 5, cpu_cores=n % 2) for n in range(10)),
        )
        thin = thinned(timeline, 5)
        assert len(thin.moments) == 5
        assert thin.peak(lambda m: m.threads) == 99
        assert {m.cpu_cores for m in thin.moments} == {0.5}
        assert thin.moments[-1].seconds == 9

    @given(st.integers(0, 500), st.integers(1, 100))
    def test_never_more_than_asked_for(self, count: int, most: int) -> None:
        timeline = Timeline("api", tuple(moment(n, threads=n) for n in range(count)))
        thin = thinned(timeline, most)
        assert len(thin.moments) <= most
        assert thin.peak(lambda m: m.threads) == timeline.peak(lambda m: m.threads)

    def test_nothing_seen_has_no_peak(self) -> None:
        assert Timeline("api", (moment(0),)).peak(lambda m: m.threads) is None
