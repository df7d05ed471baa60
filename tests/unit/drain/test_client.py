"""The load client knows what became of each request: real sockets, servers that behave badly."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pytest

from bench.drain.client import Connection, Load, Orders
from bench.drain.model import Fate

RIGHT = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n"
UNTIL_THE_END = b"HTTP/1.0 200 OK\r\n\r\nyes"
DEADLINE = 30.0

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def orders(port: int, *, keep_alive: bool = False, answer_within: float = DEADLINE) -> Orders:
    return Orders(
        "127.0.0.1", port, "/", 1, keep_alive=keep_alive, answer_within=answer_within, body="yes"
    )


def answering(data: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        writer.close()

    return serve


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


def fates(serve: Serve, times: int = 1, **how: bool | float) -> list[tuple[Fate, str]]:
    """Return what the client says of requests to such a server, one after the other."""
    serving: list[asyncio.Task[None]] = []

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())  # type: ignore[arg-type]
        await serve(reader, writer)
        with suppress(OSError):
            await writer.wait_closed()

    async def run() -> list[tuple[Fate, str]]:
        async with await asyncio.start_server(served, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            load = Load(orders(port, **how), Path("unused"))  # type: ignore[arg-type]
            connection: Connection | None = None
            found = []
            for _ in range(times):
                fate, detail, connection = await load.exchange(connection)
                found.append((fate, detail))
            if connection:
                connection.close()
                await connection.writer.wait_closed()
            await asyncio.gather(*serving)
            return found

    return asyncio.run(run())


@pytest.mark.parametrize("data", [RIGHT, CHUNKED, UNTIL_THE_END])
def test_a_right_answer(data: bytes) -> None:
    assert fates(answering(data)) == [(Fate.ANSWERED, "")]


@pytest.mark.parametrize(
    ("data", "fate", "detail"),
    [
        (b"HTTP/1.1 502 Bad\r\nContent-Length: 3\r\n\r\nbad", Fate.WRONG, "status 502: b'bad'"),
        (RIGHT.replace(b"yes", b"noo"), Fate.WRONG, "the body was b'noo'"),
        (b"SSH-2.0-OpenSSH\r\n", Fate.WRONG, "no HTTP"),
        (RIGHT[:-1], Fate.CUT, "in the middle"),
        (CHUNKED[:-5], Fate.CUT, "in the middle"),
        (b"", Fate.CUT, "closed without an answer"),
    ],
    ids=["502", "another body", "no HTTP", "half a body", "chunks without an end", "nothing"],
)
def test_what_is_no_right_answer(data: bytes, fate: Fate, detail: str) -> None:
    ((found, text),) = fates(answering(data))
    assert found is fate
    assert detail in text


def test_no_answer_in_time() -> None:
    assert fates(silent, answer_within=0.05) == [(Fate.SILENT, "no answer within 0.05 s")]


def test_nobody_listens() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        load = Load(orders(bound.getsockname()[1]), Path("unused"))
        fate, detail, _ = asyncio.run(load.exchange(None))
    assert (fate, "refused" in detail.lower()) == (Fate.REFUSED, True)


def test_what_waits_in_the_queue_of_a_listener_that_closes_was_never_read() -> None:
    async def run() -> Fate:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            load = Load(orders(listener.getsockname()[1]), Path("unused"))
            asking = asyncio.create_task(load.exchange(None))
            while not queued(listener):
                await asyncio.sleep(0.005)
        fate, _, _ = await asking
        return fate

    assert asyncio.run(run()) is Fate.UNREAD


def queued(listener: socket.socket) -> int:
    """Return the length of the accept queue (tcpi_unacked of struct tcp_info)."""
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int.from_bytes(info[24:28], sys.byteorder)


def test_a_kept_alive_connection_that_is_just_being_closed() -> None:
    found = fates(answering(RIGHT), times=2, keep_alive=True)
    assert [fate for fate, _ in found] == [Fate.ANSWERED, Fate.STALE]


def test_a_connection_is_kept_alive_where_the_server_keeps_it() -> None:
    ports = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ports.add(writer.get_extra_info("peername")[1])
        while await reader.read(65536):
            writer.write(RIGHT)
        writer.close()

    assert fates(serve, times=3, keep_alive=True) == [(Fate.ANSWERED, "")] * 3
    assert len(ports) == 1


def test_as_a_process_it_loads_until_it_is_told_to_stop(tmp_path: Path) -> None:
    asked, answered = tmp_path / "orders.json", tmp_path / "seen.json"
    listener = socket.create_server(("127.0.0.1", 0))
    asked.write_text(json.dumps(asdict(orders(listener.getsockname()[1]))))
    client = subprocess.Popen(
        [sys.executable, "-m", "bench.drain.client", str(asked), str(answered)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
    )
    try:
        with listener:
            listener.settimeout(DEADLINE)
            until = time.monotonic() + DEADLINE
            while not answered.with_suffix(".steady").exists():
                assert time.monotonic() < until
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(DEADLINE)
                    if connection.recv(65536):
                        connection.sendall(RIGHT)
        client.send_signal(signal.SIGTERM)
        assert client.wait(DEADLINE) == 0
    finally:
        client.kill()
        client.wait()
    seen = json.loads(answered.read_text())
    ended = [Fate(fate) for _, _, fate, _ in seen["exchanges"]]
    assert Fate.ANSWERED in ended
    assert all(began <= end for began, end, _, _ in seen["exchanges"])
    assert seen["probes"]
