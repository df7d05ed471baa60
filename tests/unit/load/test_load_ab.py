import resource
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import MissingToolError, UsageError
from bench.load import LOAD_GENERATORS, load_generator
from bench.load import ab as module
from bench.load.ab import Ab, check_load, longest, measurement, parse
from bench.load.builtin import Builtin
from bench.load.builtin_client import LINGERING
from bench.load.open_files import RESERVE, check_open_files, room_for
from bench.model import Ask, Latency, Load, Measurement, Request

DATA = Path(__file__).parents[2] / "data" / "ab"
ROWS = Path("/results/ab.tsv")
BODY = "/results/ab.body"
URL = "http://127.0.0.1:8000/?delay=1"


def measured(name: str, load: Load, latency: Latency | None = None) -> Measurement:
    return measurement(
        parse((DATA / f"{name}.txt").read_text()),
        load,
        generator="ab 2.3",
        command=("ab",),
        latency=latency,
        cpu_seconds=0.5,
    )


def failed(result: Measurement) -> dict[str, int]:
    return {kind: count for kind, count in result.failures.items() if count}


class TestRegistry:
    def test_every_name_gives_a_load_generator(self) -> None:
        for name in LOAD_GENERATORS:
            assert load_generator(name).lone_requests >= 0

    def test_an_unknown_name_lists_the_known_ones(self) -> None:
        with pytest.raises(UsageError, match=r"unknown load generator 'abb': choose one of ab"):
            load_generator("abb")


class TestCommand:
    def test_by_requests(self) -> None:
        command = Ab().command(Ask(URL), Load(200, requests=2000), timeout=30, rows_file=ROWS)
        assert " ".join(command) == f"ab -r -n 2000 -c 200 -s 30 -g {ROWS} {URL}"

    def test_by_duration_n_comes_after_t(self) -> None:
        command = Ab().command(Ask(URL), Load(200, duration=10), timeout=0.2, rows_file=ROWS)
        assert " ".join(command) == f"ab -r -t 10 -n 500000 -c 200 -s 1 -g {ROWS} {URL}"

    def test_memory_for_a_long_run_is_bounded(self) -> None:
        command = Ab().command(Ask(URL), Load(1, duration=86_400), timeout=30, rows_file=ROWS)
        assert command[command.index("-n") + 1] == "10000000"

    @pytest.mark.parametrize(
        ("request_", "options"),
        [
            (Request(), []),
            (Request("HEAD"), ["-i"]),
            (Request("DELETE"), ["-m", "DELETE"]),
            (Request("POST", body="a=1"), ["-p", BODY, "-T", "text/plain"]),
            (Request("POST"), ["-m", "POST"]),
            (
                Request("PATCH", {"content-type": "application/json", "x-a": "b: c"}, "{}"),
                ["-p", BODY, "-T", "application/json", "-m", "PATCH", "-H", "X-A: b: c"],
            ),
            (
                Request("GET", {"Content-Type": "text/csv", "Accept": "*/*"}),
                ["-H", "Content-Type: text/csv", "-H", "Accept: */*"],
            ),
        ],
    )
    def test_what_is_sent(self, request_: Request, options: list[str]) -> None:
        load = Load(2, requests=4)
        plain = Ab().command(Ask(URL), load, timeout=3, rows_file=ROWS)
        command = Ab().command(Ask(URL, request_), load, timeout=3, rows_file=ROWS)
        before, after = plain.index("-s") + 2, plain.index("-g")
        assert before == after
        assert command == (*plain[:before], *options, *plain[after:])

    def test_lengths_that_differ(self) -> None:
        load = Load(2, requests=4)
        assert "-l" in Ab().command(Ask(URL, bodies_vary=True), load, timeout=3, rows_file=ROWS)
        assert "-l" not in Ab().command(Ask(URL), load, timeout=3, rows_file=ROWS)

    def test_a_url_needs_a_path(self) -> None:
        with pytest.raises(
            UsageError, match=r"needs a path in the URL: http://127\.0\.0\.1:8000/$"
        ):
            Ab().command(
                Ask("http://127.0.0.1:8000"), Load(1, requests=1), timeout=1, rows_file=ROWS
            )


class TestCheck:
    @pytest.mark.parametrize(
        ("load", "said"),
        [
            (Load(5, requests=4), "REQUESTS=4 is less than CONCURRENCY=5"),
            (Load(0, requests=4), "CONCURRENCY=0"),
            (Load(1, requests=0), "REQUESTS=0"),
            (Load(1, requests=2**31), "2147483647"),
            (Load(1, duration=0), "at least 1 second"),
            (Load(1, duration=float("nan")), "at least 1 second"),
            (Load(1, duration=float("inf")), "at least 1 second"),
            (Load(1, duration=2.5), "whole seconds"),
        ],
    )
    def test_a_load_that_ab_cannot_do(self, load: Load, said: str) -> None:
        with pytest.raises(UsageError, match=said):
            check_load(load)

    def test_more_than_ab_itself_takes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Ab, "max_concurrency", 20_000)
        with pytest.raises(UsageError, match="at most 20000"):
            Ab().check(Load(20_001, requests=30_000))

    def test_more_than_the_limit_on_open_files(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1000))
        check_open_files(1000 - RESERVE)
        with pytest.raises(UsageError, match=rf"(?s)RLIMIT_NOFILE.*ulimit -n {1000 + RESERVE}"):
            check_open_files(1000)

    def test_what_is_told_of_it_is_what_works(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1000))
        most = 1000 - LINGERING - RESERVE
        Builtin().check(Load(most, duration=1.0))
        words = rf"CONCURRENCY=900 needs .*: choose CONCURRENCY={most} at most, or raise it"
        with pytest.raises(UsageError, match=words):
            Builtin().check(Load(900, duration=1.0))
        monkeypatch.setattr(resource, "getrlimit", lambda _: (256, LINGERING))
        with pytest.raises(UsageError, match=rf"is {LINGERING}: raise it with"):
            Builtin().check(Load(1, duration=1.0))

    def test_a_missing_ab_names_the_line_that_installs_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        present = {"apk"}
        monkeypatch.setattr(shutil, "which", lambda name: name in present or None)
        with pytest.raises(MissingToolError, match="sudo apk add apache2-utils") as error:
            Ab().check(Load(1, requests=1))
        assert "brew" not in str(error.value)
        present.clear()
        with pytest.raises(MissingToolError, match=r"(?s)apt-get.*dnf.*apk.*brew"):
            Ab().require()


class TestVersion:
    @pytest.mark.parametrize(
        ("said", "version"),
        [
            ("This is ApacheBench, Version 2.3 <$Revision: 1923142 $>", "ab 2.3 r1923142"),
            ("This is ApacheBench, Version 2.3 <$Revision$>", "ab 2.3"),
            (
                "This is ApacheBench, Version 2.0.40-dev <$Revision: 1.146 $>",
                "ab 2.0.40-dev r1.146",
            ),
            ("", "ab (unknown version)"),
        ],
    )
    def test_it_keeps_the_revision(
        self, monkeypatch: pytest.MonkeyPatch, said: str, version: str
    ) -> None:
        monkeypatch.setattr(Ab, "_ask", lambda *_: said)
        assert Ab().version == version


class TestMeasurement:
    def test_of_a_success(self) -> None:
        latency = Latency(p50=0.004, p90=0.005, p99=0.01, max=0.02)
        result = measured("2.4.71_success", Load(50, requests=2000), latency)
        assert failed(result) == {}
        assert set(result.failures) == {
            "connect",
            "receive",
            "length",
            "exceptions",
            "other",
            "non_2xx",
            "write",
            "empty",
            "missing",
        }
        assert result.requests == 2000
        assert result.latency == latency
        assert result.body_bytes == 6
        assert result.client_cpu_seconds == 0.5
        assert result.details["complete_requests"] == 2000

    def test_latency_falls_back_on_the_percentiles(self) -> None:
        result = measured("2.2_success", Load(5, requests=50))
        assert result.latency == Latency(p50=1.002, p90=1.014, p99=1.018, max=1.018)

    def test_a_low_rate_keeps_its_digits(self) -> None:
        result = measured("2.2_success", Load(5, requests=50))
        assert result.requests_per_second == pytest.approx(50 / 10.046)

    @pytest.mark.parametrize(
        ("name", "failures"),
        [
            ("2.4.71_length", {"length": 66}),
            ("2.4.71_non_2xx", {"non_2xx": 50}),
            ("2.4.71_reset", {"receive": 25, "length": 25, "exceptions": 25}),
            ("2.4.71_closed", {"empty": 100}),
            ("2.4.71_refused", {"receive": 100, "exceptions": 50, "empty": 100}),
            ("2.4.71_zero", {"missing": 100}),
        ],
    )
    def test_failures_by_kind(self, name: str, failures: dict[str, int]) -> None:
        assert failed(measured(name, Load(5, requests=100))) == failures

    @pytest.mark.parametrize("name", ["2.4.71_closed", "2.4.71_refused", "2.4.71_zero"])
    def test_without_a_valid_response_there_is_no_latency(self, name: str) -> None:
        assert measured(name, Load(5, requests=100), Latency(0, 0, 0, 0)).latency is None

    def test_without_a_response_there_is_no_rate(self) -> None:
        assert measured("2.4.71_zero", Load(5, requests=10)).requests_per_second == 0

    def test_a_run_by_time_misses_nothing(self) -> None:
        result = measured("2.4.71_duration", Load(20, duration=2))
        assert failed(result) == {}
        assert result.seconds >= 2

    def test_what_is_too_short_for_abs_clock_took_some_time_all_the_same(self) -> None:
        report = parse((DATA / "2.4.71_success.txt").read_text())
        result = measurement(
            replace(report, time_taken=0.0),
            Load(50, requests=2000),
            generator="ab",
            command=(),
            latency=None,
            cpu_seconds=None,
        )
        assert 0 < result.seconds < 0.001
        assert result.requests_per_second == report.requests_per_second

    def test_a_failure_without_a_kind_is_not_lost(self) -> None:
        report = parse((DATA / "2.4.71_success.txt").read_text())
        result = measurement(
            replace(report, failed_requests=3, failed_length=1),
            Load(50, requests=2000),
            generator="ab",
            command=(),
            latency=None,
            cpu_seconds=None,
        )
        assert failed(result) == {"length": 1, "other": 2}


def test_the_longest_a_load_can_take_is_bounded() -> None:
    assert longest(Load(200, requests=2000), 30) == 11 * 30 + module.GRACE
    assert longest(Load(200, duration=10), 30) == 40 + module.GRACE


def test_the_soft_limit_is_raised_and_put_back() -> None:
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with room_for(500):
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (500 + RESERVE, hard)
        with room_for(10):
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 256
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 256
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
