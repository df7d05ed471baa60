"""A closed loop over the requests of a scenario: ``python -m bench.load.builtin_client orders``.

Each of so many clients sends its next request when the last one has ended, over a new connection
as ab does. What comes when is dealt from shuffled decks, the same for every deployment, in which
each request has its share. A process of its own, so that nothing the harness does delays it.
"""

import asyncio
import json
import math
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import httptools

from bench.load.builtin_rows import Rows
from bench.load.http_messages import Answer, headers_as_ab_does, request_message

DECK = 1000
"""Requests at least that are dealt together, where no number of requests is given."""
SEED = 1
FRUITLESS = 10
"""Requests at least, and as many as are sent at once, that come to nothing one after the other
until it gives up: nobody is there, or nobody answers."""
TOLD_EACH = 0.1
"""Part of the requests after which progress is told."""
LINGERING = 500
"""Connections at most that wait for the server to close them; beyond, the client does."""
CLOSES_WITHIN = 1.0
"""Seconds for a server to close the connection, which it was asked to. Whoever closes first keeps
the port taken for a minute."""


@dataclass(frozen=True)
class Asked:
    """One of the requests, as it goes over the wire."""

    message: bytes
    is_head: bool
    status: int | None
    body: bytes | None
    body_bytes: int | None
    bodies_vary: bool


@dataclass(frozen=True)
class Orders:
    """What load to put on, and where to write what came back."""

    authority: str
    """What the Host header says."""
    host: str
    """An address, so that no request waits for a name to be looked up."""
    port: int
    asks: Sequence[dict[str, Any]]
    """What `bench.model.Ask` has; of the URL only path and query."""
    concurrency: int
    requests: int | None
    duration: float | None
    most: int
    """Requests after which it stops, whatever the duration: each takes memory."""
    timeout: float
    """Seconds for a response, from the start of its request on."""
    rows: str
    """File with a line for each request."""
    result: str
    """File with what is known of all of them, as JSON; there when all is done."""


class Exchange(asyncio.Protocol):
    """One request and its response over a connection of its own."""

    lingering = 0
    """How many of all of them wait for the server to close."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.answer = Answer(head_only=asked.is_head)
        self.connected: float | None = None
        self.ended = 0.0
        self.received = 0
        self.fate = ""
        loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        self.connected = time.monotonic()
        self._transport = transport  # type: ignore[assignment]
        transport.write(self.asked.message)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        """Take in what has come."""
        self.received += len(data)
        try:
            self.answer.feed(data)
        except httptools.HttpParserError:
            self.end("malformed")
        else:
            if self.answer.complete:
                self.end("answered")

    def connection_lost(self, exc: Exception | None) -> None:
        """Say whether that is the end of the response."""
        self._transport = None
        if self._closing:
            self._closing.cancel()
            Exchange.lingering -= 1
        whole = exc is None and self.answer.ended_by_closing()
        self.end("answered" if whole else "receive")

    @property
    def fruitless(self) -> bool:
        """Whether nothing has come of it, and the next is likely to take as long for nothing."""
        return self.fate in {"connect", "timeout"} and not self.received

    def end(self, fate: str) -> None:
        """Note what became of it, the first time that this is called."""
        if self.fate:
            return
        self.fate, self.ended = fate, time.monotonic()
        if not self.done.done():
            self.done.set_result(None)
        if self._transport is None:
            return
        if fate == "answered" and Exchange.lingering < LINGERING:
            Exchange.lingering += 1
            self._closing = self._loop.call_later(CLOSES_WITHIN, self._transport.abort)
        else:
            self._transport.abort()


@dataclass
class Client:
    """All clients, and what they have seen."""

    orders: Orders
    rows: Rows = field(default_factory=Rows)
    received: int = 0
    lengths: dict[int, int] = field(default_factory=dict)
    """Which request → the length of its first right response's body."""
    first_connect_error: str | None = None
    """Why the first connection that failed did."""
    _fruitless: int = 0

    def __post_init__(self) -> None:
        asks = self.orders.asks
        self.asked = tuple(_asked(ask, self.orders.authority) for ask in asks)
        cards = dealt(tuple(ask["weight"] for ask in asks), self.orders.requests)
        self._cards = islice(cards, self.orders.most)
        self._end = math.inf
        self._patience = max(FRUITLESS, self.orders.concurrency)

    async def run(self) -> None:
        """Load until all requests are sent or the time is over, and everything has ended."""
        if self.orders.duration is not None:
            self._end = time.monotonic() + self.orders.duration
        await asyncio.gather(*(self._work() for _ in range(self.orders.concurrency)))

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        for number in self._cards:
            began = time.monotonic()
            if began >= self._end or self._fruitless >= self._patience:
                return
            exchange = Exchange(self.asked[number])
            try:
                async with asyncio.timeout(self.orders.timeout):
                    await loop.create_connection(
                        lambda exchange=exchange: exchange,  # type: ignore[misc]
                        self.orders.host,
                        self.orders.port,
                    )
                    await exchange.done
            except TimeoutError:  # an OSError, too
                exchange.end("timeout")
            except OSError as error:
                exchange.end("connect")
                self.first_connect_error = self.first_connect_error or _reason(error)
            self._fruitless = self._fruitless + 1 if exchange.fruitless else 0
            self._note(number, began, exchange)

    def _note(self, number: int, began: float, exchange: Exchange) -> None:
        fate = self._judged(number, exchange) if exchange.fate == "answered" else exchange.fate
        self.received += exchange.received
        self.rows.add(number, fate, began, exchange.connected, exchange.ended)
        expected = self.orders.requests
        if expected and len(self.rows) % max(1, int(expected * TOLD_EACH)) == 0:
            sys.stderr.write(f"Completed {len(self.rows)} requests\n")
            sys.stderr.flush()

    def _judged(self, number: int, exchange: Exchange) -> str:
        asked, status = self.asked[number], exchange.answer.parser.get_status_code()
        if status != asked.status if asked.status else status // 100 != 2:  # noqa: PLR2004
            return "status"
        body = exchange.answer.body
        length = self.lengths.setdefault(number, len(body))
        if asked.bodies_vary:
            return "answered"
        if asked.body is not None:
            return "answered" if body == asked.body else "body"
        right = len(body) == (length if asked.body_bytes is None else asked.body_bytes)
        return "answered" if right else "body"


def dealt(weights: Sequence[float], requests: int | None) -> Iterator[int]:
    """Yield which request comes when: each with its share, in random order, the same each time.

    Args:
        weights: of each request.
        requests: how many in all; ``None``: endless, in decks in which each comes at least once.

    """
    total = sum(weights)
    size = requests or max(DECK, math.ceil(total / min(weights)))
    shuffler = random.Random(SEED)  # noqa: S311 - an order to repeat, not a secret
    owed = [0.0] * len(weights)
    while True:
        # What one deck owes a request because only whole ones come, the next one gives it.
        owed = [left + weight / total * size for left, weight in zip(owed, weights, strict=True)]
        counts = _whole(owed, size)
        owed = [exact - count for exact, count in zip(owed, counts, strict=True)]
        deck = [number for number, count in enumerate(counts) for _ in range(count)]
        while deck:
            # One by one: to shuffle all of a large deck would hold up the load.
            place = shuffler.randrange(len(deck))
            deck[place], deck[-1] = deck[-1], deck[place]
            yield deck.pop()
        if requests is not None:
            return


def _whole(exact: Sequence[float], total: int) -> list[int]:
    """Return whole numbers of this sum, each less than one off (largest remainder)."""
    counts = [math.floor(each) for each in exact]
    by_remainder = sorted(range(len(exact)), key=lambda n: counts[n] - exact[n])
    for number in by_remainder[: total - sum(counts)]:
        counts[number] += 1
    return counts


def _reason(error: OSError) -> str:
    # asyncio's own text has the address in the place of the reason.
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


def _asked(ask: dict[str, Any], authority: str) -> Asked:
    request = ask["request"]
    headers = headers_as_ab_does(request["headers"], request["body"])
    return Asked(
        request_message(authority, ask["url"], version="1.0", **request | {"headers": headers}),
        request["method"] == "HEAD",
        ask["status"],
        None if ask["body"] is None else ask["body"].encode(),
        ask["body_bytes"],
        ask["bodies_vary"],
    )


def _written(client: Client, cpu_seconds: float) -> None:
    """Write the rows, and then what says that they are complete."""
    orders = client.orders
    with Path(orders.rows).open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in client.rows.lines())
    seen = {
        "seconds": client.rows.seconds,
        "cpu_seconds": cpu_seconds,
        "bytes": client.received,
        "body_bytes": client.lengths.get(0, 0),
        "first_connect_error": client.first_connect_error,
    }
    beside = Path(f"{orders.result}.new")
    beside.write_text(json.dumps(seen), "utf-8")
    beside.replace(orders.result)


def main(asked: Path) -> None:
    """Carry the orders out, and write what was seen."""
    orders = json.loads(asked.read_text("utf-8"))
    asked.unlink()  # it has the headers, secrets included, and whoever started this may be killed
    client = Client(Orders(**orders))
    before = time.process_time()
    asyncio.run(client.run())
    _written(client, time.process_time() - before)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
