"""The real ab against a small server with every kind of bad manners."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.analysis.ceiling import ceiling
from bench.errors import TrialError
from bench.load.ab import Ab
from bench.load.child import run_child
from bench.model import Ask, Load
from tests.integration.manners import Manners

pytestmark = pytest.mark.integration


@pytest.fixture
def server() -> Iterator[Manners]:
    manners = Manners()
    yield manners
    manners.close()


def children() -> list[str]:
    command = ["ps", "--ppid", str(os.getpid()), "-o", "comm="]
    names = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return [name for name in names if name == "ab"]


def test_a_success_has_every_figure(server: Manners, tmp_path: Path) -> None:
    told: list[float] = []
    load = Load(20, requests=1000)
    result = Ab().run(
        [Ask(f"{server.url}/hello")], load, folder=tmp_path, timeout=5, progress=told.append
    )
    assert not any(result.failures.values())
    assert result.requests == 1000
    assert result.body_bytes == 6
    assert result.requests_per_second > 0
    assert result.latency is not None
    assert result.client_cpu_seconds is not None
    assert 0 < result.client_cpu_seconds < 10
    assert result.command[-1] == f"{server.url}/hello"
    assert result.generator.startswith("ab 2")
    assert (tmp_path / "ab.txt").read_text().startswith("This is ApacheBench")
    assert "Finished 1000" in (tmp_path / "ab.err").read_text()
    assert len((tmp_path / "ab.tsv").read_text().splitlines()) == 1001
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.mark.parametrize(
    ("behaviour", "kind", "count"),
    [
        ("length", "length", 50),
        ("error", "non_2xx", 50),
        ("reset", "receive", 25),
        ("close", "empty", 100),
    ],
)
def test_every_kind_of_failure_is_counted(
    server: Manners, tmp_path: Path, behaviour: str, kind: str, count: int
) -> None:
    load = Load(5, requests=100)
    result = Ab().run([Ask(f"{server.url}/{behaviour}")], load, folder=tmp_path, timeout=5)
    assert result.failures[kind] == count


@pytest.mark.parametrize(
    "load", [Load(20, requests=41), Load(20, requests=42), Load(20, duration=1)]
)
def test_the_ceiling_is_reached_and_not_exceeded(
    server: Manners, tmp_path: Path, load: Load
) -> None:
    limit = ceiling(load, delay=0.3, slots=None)
    assert limit is not None
    result = Ab().run([Ask(f"{server.url}/sleep/0.3")], load, folder=tmp_path, timeout=5)
    assert result.requests_per_second <= limit.requests_per_second
    if load.requests:
        assert result.requests_per_second > 0.8 * limit.requests_per_second


def test_nothing_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    try:
        result = Ab().run(
            [Ask(f"http://127.0.0.1:{port}/")], Load(5, requests=100), folder=tmp_path, timeout=5
        )
    except TrialError as error:
        assert "refused" in str(error)  # noqa: PT017 - which of the two depends on the version
    else:
        assert result.failures["receive"] == result.failures["empty"] == 100
        assert result.latency is None


def test_an_answer_that_never_comes_ends_in_abs_own_words(server: Manners, tmp_path: Path) -> None:
    with pytest.raises(TrialError, match="timeout specified has expired"):
        Ab().run([Ask(f"{server.url}/sleep/60")], Load(2, requests=4), folder=tmp_path, timeout=1)


def test_the_deadline_ends_it(server: Manners, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(TrialError, match=r"did not end within 0\.5 s"):
        Ab().run(
            [Ask(f"{server.url}/sleep/60")],
            Load(2, requests=4),
            folder=tmp_path,
            timeout=30,
            deadline=0.5,
        )
    assert time.monotonic() - started < 5
    assert children() == []


def test_ctrl_c_leaves_no_ab(server: Manners, tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def interrupt(_: float) -> None:
        seen.append(children())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Ab().run(
            [Ask(f"{server.url}/sleep/60")],
            Load(2, requests=4),
            folder=tmp_path,
            timeout=30,
            progress=interrupt,
        )
    assert seen == [["ab"]]
    assert children() == []


def test_the_guardian_knows_ab_while_it_runs(server: Manners, tmp_path: Path) -> None:
    class Notes:
        def __init__(self) -> None:
            self.told: list[tuple[str, int]] = []

        def watch(self, pid: int) -> None:
            self.told.append(("watch", pid))

        def release(self, pid: int) -> None:
            self.told.append(("release", pid))

    notes = Notes()
    load = Load(1, requests=1)
    Ab().run([Ask(f"{server.url}/hello")], load, folder=tmp_path, timeout=5, guardian=notes)
    (watched, pid), (released, same) = notes.told
    assert (watched, released) == ("watch", "release")
    assert pid == same


def test_an_unwritable_folder_is_an_error_of_the_trial(server: Manners, tmp_path: Path) -> None:
    with pytest.raises(TrialError, match="could not start ab"):
        Ab().run(
            [Ask(f"{server.url}/hello")],
            Load(1, requests=1),
            folder=tmp_path / "no" / "folder",
            timeout=5,
        )


def test_the_installed_ab_says_how_many_it_takes() -> None:
    assert Ab().max_concurrency in {20_000, 200_000}


def test_cpu_time_is_the_childs_own(tmp_path: Path) -> None:
    ended = run_child(
        ["sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; exit 3"],
        stdout=tmp_path / "out",
        stderr=tmp_path / "err",
        deadline=30,
        environment=os.environ,
        tick=lambda _: None,
    )
    assert ended.code == 3
    assert ended.cpu_seconds > 0.01
