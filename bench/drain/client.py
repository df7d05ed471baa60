"""A constant load that knows each request's fate: ``python -m bench.drain.client orders result``.

A closed loop: each client sends its next request when the last one has ended. A process of its
own, so that nothing the harness does delays it. Runs until SIGTERM, then ends what is under way
and writes what it has seen as JSON.
"""

import asyncio
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httptools

from bench.drain.model import Exchange, Fate
from bench.load.http_messages import Answer, request_message

CONNECT_WITHIN = 10.0
"""Seconds; SYNs that are dropped are repeated after 1, 3 and 7 s."""
REFUSED_PAUSE = 0.1
"""Seconds until a client that was refused tries again; a load balancer would go elsewhere."""
PROBE_EVERY = 0.05
PROBE_WITHIN = 5.0
JUST_CLOSING = 0.05
"""Seconds: a kept-alive connection that ends so soon after a request was not closed because of
it."""
READ_BYTES = 65536


@dataclass(frozen=True)
class Orders:
    """What load to put on."""

    host: str
    port: int
    path: str
    concurrency: int
    keep_alive: bool
    answer_within: float
    """Seconds until a request without an answer counts as lost."""
    status: int | None = None
    """The right one; ``None``: any from 200 to 299."""
    body: str | None = None
    """The right one; ``None``: any."""
    request: dict[str, Any] = field(default_factory=dict)
    """Method, headers and body of the request."""
    ready_path: str = "/readyz"


@dataclass
class Connection:
    """An open connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used: bool = False

    def close(self) -> None:
        """Close it; whatever the other side says to that is of no interest."""
        self.writer.close()


class Load:
    """All clients, and the one who asks for readiness."""

    def __init__(self, orders: Orders, steady: Path) -> None:
        self._orders = orders
        self._steady = steady
        self._stopping = asyncio.Event()
        self._request = _request(orders)
        self._answered: set[int] = set()
        self.exchanges: list[Exchange] = []
        self.probes: list[tuple[float, str]] = []

    async def run(self) -> None:
        """Load until SIGTERM."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        probing = asyncio.create_task(self._probe())
        await asyncio.gather(*(self._client(n) for n in range(self._orders.concurrency)))
        await probing

    async def _client(self, number: int) -> None:
        connection = None
        while not self._stopping.is_set():
            began = time.monotonic()
            fate, detail, connection = await self.exchange(connection)
            self.exchanges.append(Exchange(began, time.monotonic(), fate, detail))
            if fate is Fate.REFUSED:
                await asyncio.sleep(REFUSED_PAUSE)
            elif fate is Fate.ANSWERED and number not in self._answered:
                self._answered.add(number)
                if len(self._answered) == self._orders.concurrency:
                    self._steady.touch()
        if connection:
            connection.close()

    async def exchange(self, connection: Connection | None) -> tuple[Fate, str, Connection | None]:
        """Send one request; the connection is returned if it may be used again."""
        if connection is None:
            try:
                connection = await self._connect(CONNECT_WITHIN)
            except OSError as error:  # TimeoutError is one
                return Fate.REFUSED, _text(error), None
        fate, detail, keep = await self._ask(connection)
        connection.used = True
        if keep and self._orders.keep_alive:
            return fate, detail, connection
        connection.close()
        return fate, detail, None

    async def _connect(self, within: float) -> Connection:
        opening = asyncio.open_connection(self._orders.host, self._orders.port)
        return Connection(*await asyncio.wait_for(opening, within))

    async def _ask(self, connection: Connection) -> tuple[Fate, str, bool]:
        answer = Answer(head_only=self._orders.request.get("method") == "HEAD")
        sent = time.monotonic()
        try:
            async with asyncio.timeout(self._orders.answer_within):
                connection.writer.write(self._request)
                while not answer.complete:
                    data = await connection.reader.read(READ_BYTES)
                    if not data:
                        break
                    answer.feed(data)
        except TimeoutError:
            return Fate.SILENT, f"no answer within {self._orders.answer_within:g} s", False
        except httptools.HttpParserError as error:
            return Fate.WRONG, f"no HTTP: {error}", False
        except OSError as error:
            return self._broken(connection, answer, sent, Fate.UNREAD, _text(error))
        if not (answer.complete or answer.ended_by_closing()):
            return self._broken(connection, answer, sent, Fate.CUT, "closed without an answer")
        if problem := self._wrong(answer):
            return Fate.WRONG, problem, False
        return Fate.ANSWERED, "", answer.keeps_alive

    def _broken(
        self, connection: Connection, answer: Answer, sent: float, fate: Fate, detail: str
    ) -> tuple[Fate, str, bool]:
        """Tell what a connection that ended too early means.

        The kernel resets a connection that is closed while something in it was not read; one that
        was read is closed in good order.
        """
        if answer.begun:
            return Fate.CUT, f"{detail}, in the middle of it", False
        if connection.used and time.monotonic() - sent < JUST_CLOSING:
            return Fate.STALE, detail, False
        return fate, detail, False

    def _wrong(self, answer: Answer) -> str | None:
        status, body = answer.parser.get_status_code(), bytes(answer.body)
        right = self._orders.status
        if status != right if right else status // 100 != 2:  # noqa: PLR2004
            return f"status {status}: {body[:60]!r}"
        if self._orders.body is not None and body != self._orders.body.encode():
            return f"the body was {body[:60]!r}"
        return None

    async def _probe(self) -> None:
        request = request_message(_host(self._orders), self._orders.ready_path)
        while not self._stopping.is_set():
            at = time.monotonic()
            self.probes.append((at, await self._probe_once(request)))
            await asyncio.sleep(PROBE_EVERY)

    async def _probe_once(self, request: bytes) -> str:
        try:
            connection = await self._connect(PROBE_WITHIN)
        except OSError:
            return "refused"
        answer = Answer()
        try:
            async with asyncio.timeout(PROBE_WITHIN):
                connection.writer.write(request)
                while not answer.complete and (data := await connection.reader.read(READ_BYTES)):
                    answer.feed(data)
        except (OSError, httptools.HttpParserError):
            return "lost"
        finally:
            connection.close()
        if not answer.begun:
            return "lost"
        return "up" if answer.parser.get_status_code() == 200 else "down"  # noqa: PLR2004


def _request(orders: Orders) -> bytes:
    """Return the request as it goes over the wire."""
    return request_message(
        _host(orders), orders.path, keep_alive=orders.keep_alive, **orders.request
    )


def _host(orders: Orders) -> str:
    return f"{orders.host}:{orders.port}"


def _text(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error) or type(error).__name__


def main(asked: Path, answered: Path) -> None:
    """Carry the orders out, and write what was seen."""
    load = Load(Orders(**json.loads(asked.read_text("utf-8"))), answered.with_suffix(".steady"))
    asyncio.run(load.run())
    seen = {
        "exchanges": [(e.began, e.ended, e.fate, e.detail) for e in load.exchanges],
        "probes": load.probes,
    }
    beside = answered.with_suffix(".new")
    beside.write_text(json.dumps(seen), "utf-8")
    beside.replace(answered)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
