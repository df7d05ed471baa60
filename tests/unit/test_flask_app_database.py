"""The pool by itself: who gets a connection, and which connections are kept."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, cast

import pytest
from psycopg2.extensions import connection

import database


class FakeConnection:
    """As much of a connection as the pool looks at: a socket, and whether it is closed."""

    def __init__(self) -> None:
        self.mine, self.servers = socket.socketpair()
        self.closed = 0

    def fileno(self) -> int:
        return self.mine.fileno()

    def close(self) -> None:
        self.closed = 1
        self.mine.close()
        self.servers.close()


class Server:
    """Opens connections, and knows them all."""

    def __init__(self) -> None:
        self.opened: list[FakeConnection] = []

    def connect(self) -> connection:
        self.opened.append(FakeConnection())
        return cast("connection", self.opened[-1])


@pytest.fixture(name="server")
def _server() -> Iterator[Server]:
    server = Server()
    yield server
    for each in server.opened:
        each.close()


def test_connections_are_opened_when_needed_and_kept(server: Server) -> None:
    pool = database.Pool(server.connect, 3)
    assert not server.opened

    for _ in range(5):
        with pool.lend(0):
            pass
    assert len(server.opened) == 1

    with ExitStack() as stack:
        lent = {id(stack.enter_context(pool.lend(0))) for _ in range(3)}
        assert len(lent) == 3
        with pytest.raises(database.PoolExhaustedError), pool.lend(0.01):
            pass
    with ExitStack() as stack:
        assert {id(stack.enter_context(pool.lend(0))) for _ in range(3)} == lent


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_after_any_error_the_connection_is_thrown_away(
    server: Server, error: type[BaseException]
) -> None:
    pool = database.Pool(server.connect, 1)

    with pytest.raises(error), pool.lend(0):
        raise error

    assert server.opened[0].closed
    with pool.lend(0) as again:
        assert not again.closed


@pytest.mark.parametrize("ending", ["closed by the server", "a message before the end", "closed"])
def test_a_connection_that_died_while_idle_is_replaced(server: Server, ending: str) -> None:
    pool = database.Pool(server.connect, 1)
    with pool.lend(0):
        pass
    first = server.opened[0]
    if ending == "closed":
        first.close()
    elif ending == "closed by the server":
        first.servers.close()
    else:
        first.servers.send(b"terminating connection")

    with pool.lend(0) as second:
        assert cast("Any", second) is server.opened[1]
    assert first.closed


def test_a_failed_connect_gives_the_slot_back(server: Server) -> None:
    answers = iter([database.DatabaseDownError("not yet"), None])

    def connect() -> connection:
        if error := next(answers):
            raise error
        return server.connect()

    pool = database.Pool(connect, 1)
    with pytest.raises(database.DatabaseDownError), pool.lend(0):
        pass
    with pool.lend(0):
        pass


def test_first_come_first_served(server: Server) -> None:
    pool = database.Pool(server.connect, 1)
    order: list[int] = []

    def take(number: int) -> None:
        with pool.lend(30):
            order.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(10)]
    with pool.lend(0):
        for count, thread in enumerate(threads, 1):
            thread.start()
            while len(pool._waiting) < count:
                pass
    for thread in threads:
        thread.join()

    assert order == list(range(10))


def test_who_gives_up_waiting_leaves_the_line(server: Server) -> None:
    pool = database.Pool(server.connect, 1)

    with pool.lend(0):
        with pytest.raises(database.PoolExhaustedError), pool.lend(0.01):
            pass
        assert not pool._waiting
    with pool.lend(0):
        pass
    assert len(server.opened) == 1


def test_a_child_opens_connections_of_its_own(server: Server) -> None:
    pool = database.Pool(server.connect, 2)
    with pool.lend(0):  # one is lent while the process forks, and one is idle
        with pool.lend(0):
            pass
        child = os.fork()
        if not child:
            known = set(map(id, server.opened))
            with pool.lend(0) as first, pool.lend(0) as second:
                mine = {id(first), id(second)}
            os._exit(len(mine & known))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [each.closed for each in server.opened] == [0, 0]
