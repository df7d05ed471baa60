"""When the built-in client gives up, and what it leaves behind: against servers of the test's."""

import asyncio
import json
import stat
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from bench.errors import TrialError
from bench.load import builtin
from bench.load.builtin import MAX_REQUESTS, Builtin, longest
from bench.load.builtin_client import FRUITLESS, Client, Orders, main
from bench.load.builtin_rows import COLUMNS, FATES
from bench.load.child import Ended
from bench.model import Ask, Load, Measurement, Request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def orders(**changes: Any) -> Orders:
    ask = asdict(Ask("/", Request(headers={"Authorization": "Bearer s3cret"})))
    given: Mapping[str, Any] = {
        "authority": "there", "host": "127.0.0.1", "port": 9, "asks": [ask], "concurrency": 2,
        "requests": 1000, "duration": None, "most": MAX_REQUESTS, "timeout": 30.0,
        "rows": "builtin.tsv", "result": "builtin_seen.json",
    }  # fmt: skip
    return Orders(**{**given, **changes})


def loaded(serve: Serve, **changes: Any) -> Client:
    """Put a load on a server that answers like this, and return what the client has seen."""

    async def load() -> Client:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            client = Client(orders(port=server.sockets[0].getsockname()[1], **changes))
            await client.run()
        return client

    return asyncio.run(load())


def fates(client: Client) -> Counter[str]:
    return Counter(FATES[fate] for fate in client.rows.fates)


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(OK)
    writer.close()


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


def now_and_then(every: int) -> Serve:
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        await (says_nothing if count % every else answers)(reader, writer)

    return serve


@pytest.mark.parametrize("concurrency", [2, 3 * FRUITLESS])
def test_a_server_that_never_answers_is_given_up(concurrency: int) -> None:
    client = loaded(says_nothing, concurrency=concurrency, timeout=0.02)
    most = max(FRUITLESS, concurrency)
    assert set(fates(client)) == {"timeout"}
    assert most <= len(client.rows) <= most + concurrency


def test_one_that_answers_now_and_then_is_not() -> None:
    client = loaded(now_and_then(5), concurrency=1, requests=50, timeout=0.02)
    assert len(client.rows) == 50


def test_why_it_could_not_connect() -> None:
    client = Client(orders())  # nobody listens at the port for what is to be discarded
    asyncio.run(client.run())
    assert client.first_connect_error == "Connection refused"
    assert set(fates(client)) == {"connect"}


def test_a_duration_ends_at_the_most_requests_that_are_kept() -> None:
    client = loaded(answers, requests=None, duration=5.0, most=30)
    assert fates(client) == {"answered": 30}


def test_the_orders_are_gone_before_the_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "builtin.json"
    there: list[bool] = []

    async def run(_: Client) -> None:
        there.append(file.exists())

    monkeypatch.setattr(Client, "run", run)
    rows, result = tmp_path / "builtin.tsv", tmp_path / "builtin_seen.json"
    file.write_text(json.dumps(asdict(orders(rows=str(rows), result=str(result)))))
    main(file)
    assert there == [False]
    assert result.exists()


class FakeClient:
    """Stands in for the process, and writes what a test says that it has seen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.folder = folder
        self.rows: list[tuple[float, float]] = []
        """When each request began and ended."""
        self.said: dict[str, Any] = {}
        self.orders: dict[str, Any] = {}
        self.mode = 0
        self.error: Exception | None = None
        monkeypatch.setattr(builtin, "run_child", self)

    def __call__(self, command: tuple[str, ...], **_: object) -> Ended:
        asked = Path(command[-1])
        self.orders = json.loads(asked.read_text())
        self.mode = stat.S_IMODE(asked.stat().st_mode)
        if self.error:
            raise self.error
        lines = [
            f"{began * 1e6:.0f}\t0\tanswered\t10\t{(ended - began) * 1e6:.0f}"
            for began, ended in self.rows
        ]
        Path(self.orders["rows"]).write_text("\n".join(("\t".join(COLUMNS), *lines)) + "\n")
        seen = {
            "seconds": max(ended for _, ended in self.rows), "cpu_seconds": 1.0, "bytes": 1,
            "body_bytes": 2, "first_connect_error": None,
        }  # fmt: skip
        Path(self.orders["result"]).write_text(json.dumps(seen | self.said))
        return Ended(0, 1.0)

    def run(self, load: Load, url: str = "http://127.0.0.1:9/") -> Measurement:
        return Builtin().run([Ask(url)], load, folder=self.folder, timeout=30)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeClient:
    return FakeClient(monkeypatch, tmp_path)


def waves(seconds: float, count: int) -> list[tuple[float, float]]:
    """Return the requests of ten clients that all take so long."""
    return [(n * seconds, (n + 1) * seconds) for n in range(count) for _ in range(10)]


class TestRate:
    def test_the_drain_after_a_duration_is_no_part_of_it(self, client: FakeClient) -> None:
        client.rows = [*waves(0.05, 100), (4.9, 9.9)]
        measured = client.run(Load(11, duration=5.0))
        assert measured.requests_per_second == 1000 / 5
        assert (measured.requests, measured.seconds) == (1001, 9.9)
        assert measured.latency
        assert measured.latency.max == pytest.approx(5.0)

    def test_waves_of_which_the_last_is_just_late(self, client: FakeClient) -> None:
        client.rows = waves(1.005, 3)
        assert client.run(Load(10, duration=3.0)).requests_per_second == pytest.approx(30 / 3.015)

    def test_a_number_of_requests_takes_as_long_as_all_of_them(self, client: FakeClient) -> None:
        client.rows = [*waves(0.05, 100), (4.9, 9.9)]
        assert client.run(Load(11, requests=1001)).requests_per_second == 1001 / 9.9


def test_the_orders_are_for_nobody_else_and_gone_whatever_happens(client: FakeClient) -> None:
    client.error = TrialError("killed")
    with pytest.raises(TrialError, match="killed"):
        client.run(Load(1, requests=1))
    assert client.mode == 0o600
    assert list(client.folder.iterdir()) == []


def test_orders_that_cannot_be_written_whole_are_gone(
    client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Path, *_: object) -> None:
        file.write_bytes(b'{"headers": ')
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="no space left"):
        client.run(Load(1, requests=1))
    assert list(client.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("at", "host"),
    [("127.0.0.1:80", "127.0.0.1"), ("127.0.0.1:8080", "127.0.0.1:8080"), ("[::1]:80", "[::1]")],
)
def test_the_default_port_is_in_no_host_header(client: FakeClient, at: str, host: str) -> None:
    client.rows = waves(1, 1)
    client.run(Load(10, requests=10), f"http://{at}/")
    assert client.orders["authority"] == host
    assert client.orders["port"] in {80, 8080}


def test_what_is_told_beside_the_figures(
    client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.rows = waves(1, 2)
    client.said = {"first_connect_error": "Too many open files"}
    details = client.run(Load(10, duration=60.0)).details
    assert details == {"first_connect_error": "Too many open files"}
    client.said = {}
    assert client.run(Load(10, duration=60.0)).details == {}
    monkeypatch.setattr(builtin, "MAX_REQUESTS", 20)
    assert client.run(Load(10, duration=60.0)).details == {"stopped_at_requests": 20}
    assert client.run(Load(10, requests=20)).details == {}


def test_there_is_time_to_write_all_rows() -> None:
    half_a_minute = 30.0
    assert longest(Load(10, duration=86_400.0), 30) >= 86_400 + 30 + half_a_minute
    assert longest(Load(10, duration=3.0), 30) < 3 + 30 + half_a_minute
    assert longest(Load(5_000_000, requests=5_000_000), 30) >= 30 + half_a_minute
