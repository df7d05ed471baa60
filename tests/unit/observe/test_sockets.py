import os
import socket
import sys
from contextlib import ExitStack

import pytest

from bench.observe import sockets

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sock_diag is Linux's")


def test_who_waits_to_be_accepted_and_who_is_connected() -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=7))
        port = listener.getsockname()[1]
        for _ in range(3):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        stack.enter_context(listener.accept()[0])

        found = [each for each in sockets.listeners() or [] if each.port == port]
        assert [(each.waiting, each.backlog) for each in found] == [(2, 7)]
        assert found[0].inode in sockets.inodes_of([os.getpid()])

        told = sockets.connections([port], [port], time_wait=True)
        assert told is not None
        assert told[0][port]["ESTABLISHED"] == 3
        assert told[1][port]["ESTABLISHED"] == 3
        assert "LISTEN" not in told[0][port]


def test_a_closed_connection_is_seen_from_its_own_side_only() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        server = listener.accept()[0]
        server.close()
        assert client.recv(1) == b""
        client.close()
    with_waiting = sockets.connections([port], [port], time_wait=True)
    without = sockets.connections([port], [port])
    assert with_waiting is not None
    assert without is not None
    assert with_waiting[0][port]["TIME_WAIT"] == 1
    assert without[0][port]["TIME_WAIT"] == 0


def test_more_sockets_than_fit_into_one_packet() -> None:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=500))
        port = listener.getsockname()[1]
        for _ in range(400):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        told = sockets.connections([port], [])
    assert told is not None
    assert told[0][port].total() == 400


def test_processes_that_are_gone_hold_nothing() -> None:
    assert sockets.inodes_of([2**22 + 1]) == set()


def test_a_system_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "_SOCK_DIAG_BY_FAMILY", 99)
    assert sockets.listeners() is None
    assert sockets.connections([80], []) is None
    monkeypatch.delattr(socket, "AF_NETLINK")
    assert sockets.listeners() is None
