"""No server that people copy loses what waits in its queue: neither at a stop nor at a restart."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from bench.processes.guardian import Guardian
from bench.processes.ports import free_port
from tests.integration.app_support import (
    COMMANDS,
    DEADLINE,
    FLASK_APP,
    HeldApi,
    Server,
    Stage,
    accepts,
    eventually,
)

pytestmark = pytest.mark.integration

QUEUED = 150
"""More than gevent accepts at one go."""
HOLD = (sys.executable, "{here}/hold.py")
HELD = {f"{name}, held": (*HOLD, *command) for name, command in COMMANDS.items()}
STOPPED = {
    **{name: COMMANDS[name] for name in ("gevent-pywsgi", "sync-gunicorn", "gevent-gunicorn")},
    **{name: HELD[name] for name in HELD if not name.startswith("devserver")},
}


@pytest.fixture(name="stage")
def _stage(tmp_path: Path) -> Iterator[Stage]:
    with Guardian() as guardian, ExitStack() as stack:
        yield Stage(tmp_path, guardian, stack)


def serving(server: Server) -> list[psutil.Process]:
    """Return the processes that accept: those without children."""
    root = psutil.Process(server.process.pid)
    return [p for p in [root, *root.children(recursive=True)] if not p.children()]


def ask(port: int, path: str = "/hello") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return client


def answer(client: socket.socket) -> bytes:
    received = b""
    with client, suppress(ConnectionResetError):
        while data := client.recv(65536):
            received += data
    return received


@pytest.mark.parametrize("name", STOPPED)
def test_a_stop_answers_all_who_wait_in_the_queue(stage: Stage, name: str) -> None:
    server = stage.serve(STOPPED[name], WORKERS="2", ASYNC_CORES="500")
    workers = serving(server)
    for worker in workers:
        worker.suspend()
    clients = [ask(server.port) for _ in range(QUEUED)]

    server.term()
    for worker in workers:
        worker.resume()

    # all at once: gunicorn's threaded worker waits for each client to close in turn
    with ThreadPoolExecutor(QUEUED) as pool:
        answers = list(pool.map(answer, clients))
    assert [each.endswith(b"hello\n") for each in answers] == [True] * QUEUED
    assert server.process.wait(DEADLINE) == 0
    assert not accepts(server.port)


@pytest.mark.parametrize("name", ["gevent-pywsgi", "gevent-gunicorn", "gevent-uwsgi, held"])
def test_a_stop_answers_those_as_well_for_whom_no_slot_was_free(stage: Stage, name: str) -> None:
    slots, queued = 5, 20
    with HeldApi().running() as api:
        url = f"http://127.0.0.1:{api.port}"
        server = stage.serve(STOPPED[name], ASYNC_CORES=str(slots), API_URL=url)
        clients = [ask(server.port, "/") for _ in range(slots)]
        eventually(lambda: api.seen == slots, "all slots are taken")
        clients += [ask(server.port) for _ in range(queued)]

        server.term()
        if "held" not in name:  # hold.py lets the server take them first, and that needs slots
            eventually(lambda: not accepts(server.port), "it has stopped accepting")
        api.release.set()

        answers = [answer(client) for client in clients]
    assert [b" 200 OK" in each for each in answers] == [True] * (slots + queued)
    assert server.process.wait(DEADLINE) == 0


@pytest.mark.parametrize("name", ["gevent-pywsgi, held", "gevent-gunicorn, held"])
def test_a_stop_while_the_loop_is_blocked_finishes_what_is_in_flight(
    stage: Stage, name: str
) -> None:
    with HeldApi().running() as api:
        server = stage.serve(STOPPED[name], WORKERS="1", API_URL=f"http://127.0.0.1:{api.port}")
        waiting = ask(server.port, "/")
        eventually(lambda: api.seen == 1, "a request is in flight")
        # for longer than hold.py waits for the listener to be closed
        computing = ask(server.port, "/cpu?ms=3500")
        server.term()
        assert b" 200 OK" in answer(computing)
        api.release.set()
        assert b" 200 OK" in answer(waiting)
    assert server.process.wait(DEADLINE) == 0
    assert "RecursionError" not in server.log()


@pytest.mark.parametrize("name", ["gevent-pywsgi", "gevent-uwsgi", "sync-gunicorn"])
def test_who_comes_during_a_restart_waits_for_the_new_server(stage: Stage, name: str) -> None:
    with HeldApi().running() as api, ThreadPoolExecutor(1) as pool:
        server = stage.serve(HELD[f"{name}, held"], API_URL=f"http://127.0.0.1:{api.port}")
        before = set(serving(server))
        first = pool.submit(server.get, "/")
        eventually(lambda: api.seen == 1, "a request is in flight")

        os.kill(server.process.pid, signal.SIGHUP)
        eventually(lambda: not _accepted(ask(server.port)), "it has stopped accepting")
        second = ask(server.port)
        api.release.set()

        assert first.result().status == 200
        assert answer(second).endswith(b"hello\n")
    assert not before & set(serving(server))
    assert server.process.is_running()


def test_a_stop_during_a_restart_refuses_who_comes(stage: Stage) -> None:
    with HeldApi().running() as api:
        url = f"http://127.0.0.1:{api.port}"
        server = stage.serve(HELD["gevent-pywsgi, held"], API_URL=url)
        first = ask(server.port, "/")
        eventually(lambda: api.seen == 1, "a request is in flight")
        os.kill(server.process.pid, signal.SIGHUP)
        eventually(lambda: not _accepted(ask(server.port)), "it has stopped accepting")
        second = ask(server.port, "/")
        server.term()

        api.release.set()
        assert b" 200 OK" in answer(first)
        api.release.clear()
        eventually(lambda: api.seen == 2, "the new server has taken who waited")

        eventually(lambda: _refused(server.port), "newcomers are told")
        api.release.set()
        assert b" 200 OK" in answer(second)
    assert server.process.wait(DEADLINE) == 0


def test_a_configuration_that_is_read_again_is_the_same() -> None:
    read = f"runpy.run_path({str(FLASK_APP / 'gunicorn_gevent.conf.py')!r})"
    depth = "len(ggevent.StreamServer.__mro__)"
    code = (
        f"import runpy; {read}\nfrom gunicorn.workers import ggevent\nonce = {depth}\n"
        f"{read}; {read}; assert {depth} == once"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def _refused(port: int) -> bool:
    """Whether a connection is refused, and not merely left without an answer."""
    with suppress(TimeoutError):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            return True
    return False


def _accepted(client: socket.socket) -> bool:
    """Whether somebody answers within a moment."""
    client.settimeout(0.3)
    with client:
        try:
            return bool(client.recv(1))
        except TimeoutError:
            return False


def hold(*command: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(FLASK_APP / "hold.py"), *command],
        env={**os.environ, "BIND": f"127.0.0.1:{free_port()}", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (("sh", "-c", "exit 7"), 7, ""),
        (("sh", "-c", "kill -9 $$"), 137, ""),
        (("no-such-server",), 127, "hold.py: no-such-server: No such file or directory"),
        ((), 1, "give the server's command"),
    ],
    ids=["its status", "killed", "no such program", "nothing to start"],
)
def test_it_ends_with_its_server(command: tuple[str, ...], code: int, said: str) -> None:
    with hold(*command) as holder:
        _, err = holder.communicate(timeout=DEADLINE)
    assert holder.returncode == code
    assert said in err


def test_the_server_has_the_socket_and_nothing_else_of_the_holder() -> None:
    listing = "import os; print(os.environ['BIND'], sorted(map(int, os.listdir('/proc/self/fd'))))"
    with hold(sys.executable, "-c", listing) as holder:
        out, _ = holder.communicate(timeout=DEADLINE)
    assert out == "fd://3 [0, 1, 2, 3, 4]\n"  # 4 is the folder that is being listed


def test_nothing_outlives_it(stage: Stage) -> None:
    server = stage.serve(HELD["gevent-pywsgi, held"])
    (child,) = psutil.Process(server.process.pid).children()

    os.kill(server.process.pid, signal.SIGKILL)

    eventually(lambda: not child.is_running(), "the server has ended")
    assert not accepts(server.port)
