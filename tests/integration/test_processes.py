"""Servers that die, refuse to stop, or hide their children: nothing of them is left."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from bench.errors import BenchError, MissingToolError, TrialError
from bench.processes import family
from bench.processes.guardian import Guardian
from bench.processes.ports import free_port, require_free
from bench.processes.process import ServerProcess
from bench.processes.ready import wait_until_ready

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]

# Writes "up" when its signal handlers are in place.
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("asked to stop", flush=True))
print("up", flush=True)
while True:
    time.sleep(60)
"""

# A worker in the session, one in a session of its own, and a daemon whose parent is gone.
LARGE_FAMILY = """
import os, signal, subprocess, sys, time
sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
children = [subprocess.Popen(sleeper), subprocess.Popen(sleeper, start_new_session=True)]
print(*(child.pid for child in children), flush=True)
forget = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:], start_new_session=True).pid)"
subprocess.run([sys.executable, "-c", forget, *sleeper])
print("up", flush=True)
time.sleep(600)
"""

# A harness that starts servers, says so, and waits to be killed.
HARNESS = """
import os, sys, time
from pathlib import Path
from bench.processes.guardian import Guardian
from bench.processes.process import ServerProcess

folder, stubborn, listener = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
def server(name, code, *words):
    return ServerProcess(name, [sys.executable, "-c", code, *words], environment={},
                         cwd=folder, log=folder / (name + ".log"), guardian=guardian)
with Guardian() as guardian, guardian.temporary_directory(folder) as temporary:
    (temporary / "data").write_text("x")
    with server("stubborn", stubborn) as one, server("listener", *listener.split("|")) as two:
        # one that nobody has registered, as if the kill came between its start and that
        environment = dict(guardian.environment)
        unknown = os.posix_spawn(sys.executable, [sys.executable, "-c", "import time\\n"
            "time.sleep(600)"], environment, setsid=True)
        print(guardian.pid, one.pid, two.pid, unknown, temporary, flush=True)
        time.sleep(600)
"""

LISTENER = (
    "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); "
    "print('up', flush=True); time.sleep(600)"
)


@pytest.fixture(name="guardian")
def _guardian() -> Iterator[Guardian]:
    with Guardian() as guardian:
        yield guardian


@pytest.fixture(name="start")
def _start(tmp_path: Path, guardian: Guardian) -> Callable[..., ServerProcess]:
    def start(code: str, grace: float = 15.0) -> ServerProcess:
        return ServerProcess(
            "the server",
            [sys.executable, "-u", "-c", code],
            environment={},
            cwd=tmp_path,
            log=tmp_path / "server.log",
            guardian=guardian,
            grace=grace,
        )

    return start


@contextmanager
def kept_from_hanging(child: subprocess.Popen[str]) -> Iterator[None]:
    """End the child if the test fails: ``Popen`` would wait for it."""
    try:
        yield
    finally:
        child.kill()


def wait_for(condition: Callable[[], bool], what: str, deadline: float = 30.0) -> None:
    until = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < until, f"{what}: not within {deadline} s"
        time.sleep(0.005)


def wait_for_line(process: ServerProcess, line: str) -> list[str]:
    wait_for(lambda: line in process.log.read_text().splitlines(), f"{line!r} in the log")
    return process.log.read_text().splitlines()


def is_gone(pid: int) -> bool:
    try:
        return not family.is_alive(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return True


def test_a_server_runs_in_its_own_session_and_stops(start: Callable[..., ServerProcess]) -> None:
    with start("import time; print('up'); time.sleep(600)") as server:
        wait_for_line(server, "up")
        assert server.is_running()
        assert os.getsid(server.pid) == server.pid
        server.check_running()

    assert is_gone(server.pid)
    assert not server.killed
    assert server.returncode == -signal.SIGTERM
    server.stop()  # a second time is no error


def test_the_reason_of_an_early_death_is_shown_at_once(start: Callable[..., ServerProcess]) -> None:
    code = "import sys; print('reading the settings'); import no_such_module"
    began = time.monotonic()

    with start(code) as server, pytest.raises(TrialError) as caught:
        wait_until_ready(lambda: "refused", [server], deadline=60, what="the server")

    message = str(caught.value)
    assert time.monotonic() - began < 30
    assert "the server exited with status 1" in message
    assert "reading the settings\nTraceback (most recent call last):" in message
    assert "ModuleNotFoundError: No module named 'no_such_module'" in message
    assert str(server.log) in message


def test_a_server_that_was_killed_names_the_signal(start: Callable[..., ServerProcess]) -> None:
    with start("import os; os.kill(os.getpid(), 9)") as server:
        wait_for(lambda: not server.is_running(), "the death")
        with pytest.raises(TrialError, match=r"was ended by SIGKILL.*\n\(the log is empty\)"):
            server.check_running()


def test_a_server_that_ignores_the_stop_signal_is_killed(
    start: Callable[..., ServerProcess],
) -> None:
    with start(STUBBORN, grace=0.2) as server:
        wait_for_line(server, "up")

    assert server.killed
    assert "asked to stop" in server.log.read_text()
    assert is_gone(server.pid)


def test_children_that_left_the_session_are_ended_too(start: Callable[..., ServerProcess]) -> None:
    with start(LARGE_FAMILY) as server:
        pids = [int(word) for word in " ".join(wait_for_line(server, "up")[:-1]).split()]
        assert len(pids) == 3
        assert not any(map(is_gone, pids))

    assert [pid for pid in pids if not is_gone(pid)] == []


def test_children_of_a_dead_server_are_ended_too(start: Callable[..., ServerProcess]) -> None:
    with start(LARGE_FAMILY) as server:
        pids = [int(word) for word in " ".join(wait_for_line(server, "up")[:-1]).split()]
        os.kill(server.pid, signal.SIGKILL)
        wait_for(lambda: not server.is_running(), "the death")
        assert not any(map(is_gone, pids))

    assert [pid for pid in pids if not is_gone(pid)] == []


def test_an_interrupt_while_stopping_still_ends_it(start: Callable[..., ServerProcess]) -> None:
    server = start(STUBBORN, grace=600)
    server.start()
    wait_for_line(server, "up")

    def interrupt() -> None:
        wait_for_line(server, "asked to stop")
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=interrupt)
    presser.start()
    with pytest.raises(KeyboardInterrupt):
        server.stop()
    presser.join()

    assert is_gone(server.pid)
    assert server.killed


def test_a_program_that_is_not_there_is_named(tmp_path: Path, guardian: Guardian) -> None:
    server = ServerProcess(
        "nowhere",
        ["no-such-program"],
        environment={},
        cwd=tmp_path,
        log=tmp_path / "log",
        guardian=guardian,
    )

    with pytest.raises(MissingToolError, match="nowhere cannot start: no-such-program"):
        server.start()
    server.stop()


def test_a_folder_without_room_for_a_log_is_named(
    start: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    (tmp_path / "server.log").mkdir()

    with pytest.raises(TrialError, match=r"has no log: .*server\.log: Is a directory"):
        start("pass").start()


def test_the_holder_of_a_taken_port_is_named(start: Callable[..., ServerProcess]) -> None:
    port = free_port()
    with start(LISTENER.replace("sys.argv[1]", str(port))) as server:
        wait_for_line(server, "up")

        with pytest.raises(TrialError, match=f"port {port} .* process {server.pid} .*python"):
            require_free("127.0.0.1", port)

    require_free("127.0.0.1", port)


def ignores(pid: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line for line in status.splitlines() if line.startswith("SigIgn:"))
    return bool(int(mask.split()[1], 16) & (1 << (number - 1)))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_nothing_survives_a_harness_that_is_killed(tmp_path: Path) -> None:
    port = free_port()
    with (
        subprocess.Popen(
            [sys.executable, "-c", HARNESS, str(tmp_path), STUBBORN, f"{LISTENER}|{port}"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as harness,
        kept_from_hanging(harness),
    ):
        assert harness.stdout
        *numbers, temporary = harness.stdout.readline().split()
        guardian, *servers = map(int, numbers)
        for log in (tmp_path / "stubborn.log", tmp_path / "listener.log"):
            wait_for(lambda log=log: "up" in log.read_text(), f"{log}")  # type: ignore[misc]
        wait_for(lambda: ignores(guardian, signal.SIGTERM), "the guardian's signal handlers")
        os.kill(guardian, signal.SIGTERM)
        os.kill(guardian, signal.SIGINT)
        assert not any(map(is_gone, [guardian, *servers]))
        with pytest.raises(TrialError, match="is taken by"):
            require_free("127.0.0.1", port)

        harness.kill()

    wait_for(lambda: all(map(is_gone, [guardian, *servers])), "the end of all")
    require_free("127.0.0.1", port)
    assert not Path(temporary).exists()
    assert "asked to stop" in (tmp_path / "stubborn.log").read_text()


def test_the_guardian_leaves_what_is_not_its_own(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as other:
        with Guardian() as guardian:
            guardian.watch(other.pid)
            guardian.watch_directory(tmp_path)
            guardian.release(other.pid)
            guardian.release_directory(tmp_path)
            helper = guardian.pid
        assert helper is not None
        assert is_gone(helper)
        assert other.poll() is None
        assert tmp_path.exists()
        other.kill()


def test_a_server_is_not_left_running_without_a_guardian(
    start: Callable[..., ServerProcess], guardian: Guardian
) -> None:
    assert guardian.pid is not None
    helper = psutil.Process(guardian.pid)
    helper.kill()
    helper.wait()
    server = start("import time; time.sleep(600)")

    with pytest.raises(BenchError, match=r"guardian process \d+ is gone"):
        server.start()

    assert is_gone(server.pid)


def test_children_do_not_inherit_the_harness_files(start: Callable[..., ServerProcess]) -> None:
    code = "import os; print(sorted(map(int, os.listdir('/dev/fd')))); print('up')"
    with socket.socket() as held:
        os.set_inheritable(held.fileno(), True)
        with start(f"{code}; import time; time.sleep(600)") as server:
            lines = wait_for_line(server, "up")

    # 3 is the listing's own
    assert lines[0] == "[0, 1, 2, 3]"
