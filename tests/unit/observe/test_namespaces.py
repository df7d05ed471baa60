import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.observe import kernel, sockets
from bench.observe.namespaces import open_inside, views_of
from bench.observe.processes import Role, roles_of
from bench.observe.sampler import Sampler

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")

SERVER = """
import socket
with socket.create_server(("127.0.0.1", 8000), backlog=50) as listener:
    clients = [socket.create_connection(("127.0.0.1", 8000)) for _ in range(3)]
    print("ready", flush=True)
    input()
"""


@contextmanager
def container() -> Iterator[int]:
    """Run a server in a network of its own, as a container has; its loopback is up."""
    script = 'ip link set lo up && exec "$0" -c "$1"'
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", script, sys.executable, SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            pytest.skip("no right to make a network of its own here")
        yield process.pid
        process.kill()


def test_a_containers_sockets_are_told_from_inside() -> None:
    with container() as pid:
        assert 8000 not in {each.port for each in sockets.listeners() or []}
        with open_inside(pid) as netlink:
            (found,) = sockets.listeners(netlink) or []
            assert (found.port, found.waiting, found.backlog) == (8000, 3, 50)
            told = sockets.connections([8000], [8000], netlink=netlink)
        assert told is not None
        assert told[0][8000]["ESTABLISHED"] == 3
        # this thread has stayed where it was
        assert kernel.network_of("self") == kernel.network_of(os.getpid())
        assert 8000 not in {each.port for each in sockets.listeners() or []}


def test_each_network_is_one_view() -> None:
    with container() as pid, socket.create_server(("127.0.0.1", 0)) as own:
        port = own.getsockname()[1]
        roles = roles_of({"server": [pid], "nginx": [os.getpid()]})
        views = views_of(roles)
        try:
            assert {view.is_own: view.ports for view in views} == {
                False: {"server": {8000}},
                True: {"nginx": {port}},
            }
        finally:
            for view in views:
                view.close()
            for role in roles.values():
                role.close()


def test_the_sampler_counts_in_each_network_and_the_clients_only_in_its_own() -> None:
    with container() as pid:
        sampler = Sampler({"server": (pid,)})
        sampler.watch_client(os.getpid())
        sampler.start()
        sampler.stop()
    usage = sampler.usage({})
    assert usage["server"].connections["ESTABLISHED"] == 3
    assert usage["client"].connections == {}
    figures = sampler.figures()
    assert (figures["server.accept_queue"], figures["server.backlog"]) == (3, 50)


def test_where_one_may_not_look_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(pid: int) -> socket.socket:
        raise PermissionError(pid)

    monkeypatch.setattr("bench.observe.namespaces.open_inside", forbidden)
    with container() as pid:
        sampler = Sampler({"server": (pid,)})
        sampler.start()
        sampler.stop()
    assert sampler.usage({})["server"].connections == {}
    assert sampler.figures().keys() & {"server.accept_queue", "server.backlog"} == set()


def test_a_process_that_is_gone_has_no_network() -> None:
    with pytest.raises(OSError, match="No such file"):
        open_inside(2**22 + 1)
    assert [view.ports for view in views_of({"server": Role((2**22 + 1,))})] == [{}]


def test_counters_of_two_networks_are_summed() -> None:
    with container() as pid:
        both = kernel.places([pid, os.getpid()])
        assert both.networks == (Path("/proc/net"), Path(f"/proc/{pid}/net"))
        inside = kernel.counters(kernel.Places(kernel.PROC, (Path(f"/proc/{pid}/net"),), ()))
        assert "ListenOverflows" in kernel.counters(both)
        assert inside["ListenOverflows"] == 0
