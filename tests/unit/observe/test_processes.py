import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from bench.observe import processes
from bench.observe.processes import ProcessTable, Role, Watched, roles_of
from bench.observe.sampler import _weigh
from bench.observe.samples import Sample

BUSY = "import os\nif not os.fork():\n    sum(range(10**9))\nos.wait()"


@pytest.fixture
def family() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a child that computes."""
    with subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True) as parent:
        eventually(lambda: bool(psutil.Process(parent.pid).children()))
        yield parent
        for child in psutil.Process(parent.pid).children():
            child.kill()
        parent.kill()


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_role_is_its_roots_and_all_below_them(family: subprocess.Popen[bytes]) -> None:
    role = roles_of({"server": [family.pid]})["server"]
    assert len(role.members) == 2
    role.begin()

    def computes() -> bool:
        role.read()
        return role.cpu_seconds > 0.05

    eventually(computes)
    role.close()


def test_a_child_that_ends_keeps_its_cpu_time(family: subprocess.Popen[bytes]) -> None:
    role = roles_of({"server": [family.pid]})["server"]
    (child,) = psutil.Process(family.pid).children()
    eventually(lambda: child.cpu_times().user > 0.05)
    role.read()
    child.kill()

    def alone() -> bool:
        role.read()
        return len(role.members) < 2

    eventually(alone)
    assert role.cpu_seconds >= 0.05
    assert child.pid in [each.pid for each in role.ended]


def test_a_child_that_comes_later_is_found() -> None:
    table, role = ProcessTable(), Role((os.getpid(),))
    role.adopt(table.new())
    before = len(role.members)
    with subprocess.Popen(["sleep", "10"]) as child:
        role.adopt(table.new())
        assert child.pid in role.members
        assert len(role.members) == before + 1
        child.kill()


def test_alone_it_is_only_its_roots() -> None:
    with subprocess.Popen(["sleep", "10"]) as child:
        role = Role((os.getpid(),), alone=True)
        role.adopt(ProcessTable().new())
        assert list(role.members) == [os.getpid()]
        child.kill()


def test_roots_that_are_gone_are_no_members() -> None:
    assert not roles_of({"server": [2**22 + 1]})["server"].members


@pytest.mark.parametrize("with_files", [True, False])
def test_figures_agree_with_psutil(monkeypatch: pytest.MonkeyPatch, with_files: bool) -> None:
    monkeypatch.setattr(processes, "_HAS_STAT", with_files and processes._HAS_STAT)
    own = psutil.Process()
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    watched = Watched(os.getpid())
    assert watched.read()
    assert watched.threads == own.num_threads()
    times = own.cpu_times()
    assert watched.cpu_seconds == pytest.approx(times.user + times.system, abs=0.1)
    watched.read_open_files()
    assert watched.open_files == pytest.approx(own.num_fds(), abs=2)
    watched.read_memory()
    assert watched.memory_bytes is not None
    assert 0.3 < watched.memory_bytes / own.memory_info().rss <= 1.2
    watched.close()
    stop.set()
    for thread in threads:
        thread.join()


def test_of_a_program_with_an_odd_name(tmp_path: Path) -> None:
    name = tmp_path / "a) R 1 (b"
    name.symlink_to("/bin/sleep")
    with subprocess.Popen([name, "10"]) as child:
        watched = Watched(child.pid)
        assert watched.read()
        assert watched.threads == 1
        child.kill()
    assert not watched.read()
    watched.close()


def test_memory_that_one_may_not_look_at_is_absent_and_so_is_its_roles(
    family: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    role = roles_of({"server": [family.pid]})["server"]
    hidden = psutil.Process(family.pid).children()[0].pid

    def open_as_another_user(path: str, mode: str) -> object:
        if f"/{hidden}/" in path:
            raise PermissionError(path)
        return open(path, mode)  # noqa: PTH123

    monkeypatch.setattr(processes, "open", open_as_another_user, raising=False)
    for each in role.members.values():
        each.read_memory()
    sample = Sample(0.0, 0, 0)
    _weigh(sample, role)
    assert role.members[hidden].memory_bytes is None
    assert (role.members[family.pid].memory_bytes or 0) > 0
    assert sample.memory_bytes is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere CPU time comes in ticks")
def test_less_than_a_tick_of_cpu_time_is_seen() -> None:
    watched = Watched(os.getpid())
    assert watched.read()
    before = watched.cpu_seconds
    sum(range(1000))
    assert watched.read()
    assert 0 < watched.cpu_seconds - before < 1
    watched.close()
