"""`flask-bench` as a process of its own, and an eye on all that it starts.

What belongs to a run is found here without the harness's own search (`bench.processes.family`),
so that a fault there cannot hide itself: by descent, by session, and by two environment variables,
the harness's and one of the tests' own.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.model import Run, Trial
from bench.store import load_run
from tests.conftest import SETTINGS

CHECKOUT = Path(__file__).resolve().parents[2]
PROGRAM = Path(sys.executable).parent / "flask-bench"

RUN_MARK = "FLASK_BENCH_RUN"
TEST_MARK = "FLASK_BENCH_UNDER_TEST"
LOOK_EVERY = 0.1
LISTENS = "0A"

DEADLINE = 120.0
"""Seconds for anything that takes some on a quiet machine; a broken harness is found late."""


def wait_for(condition: Callable[[], object], what: str, deadline: float = DEADLINE) -> None:
    until = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < until, f"{what}: not within {deadline:g} s"
        time.sleep(0.02)


@dataclass(frozen=True)
class Ended:
    """What a call of flask-bench left to be seen."""

    code: int
    out: str
    err: str
    results: Path

    @property
    def folder(self) -> Path:
        """The run's folder: the only one there is."""
        (folder,) = (
            path for path in self.results.iterdir() if path.is_dir() and not path.is_symlink()
        )
        return folder

    @property
    def run(self) -> Run:
        return load_run(self.folder)

    def trial(self, deployment: str) -> Trial:
        (trial,) = (t for t in self.run.trials if t.deployment.name == deployment)
        return trial


def environment_of(pid: int) -> dict[str, str]:
    try:
        content = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return dict(entry.split("=", 1) for entry in content.split("\0") if "=" in entry)


def listening_sockets() -> dict[str, int]:
    """Return inode → port of all sockets that listen.

    The kernel lists those first; what follows may be thousands of connections, which psutil would
    read again for each process.
    """
    found = {}
    for table in ("tcp", "tcp6"):
        with suppress(OSError), Path(f"/proc/net/{table}").open() as lines:
            next(lines)
            for fields in map(str.split, lines):
                if fields[3] != LISTENS:
                    break
                found[fields[9]] = int(fields[1].rpartition(":")[2], 16)
    return found


def sockets_of(pid: int) -> set[str]:
    """Return the inodes of a process's sockets."""
    found = set()
    with suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                target = str(descriptor.readlink())
                if target.startswith("socket:["):
                    found.add(target[8:-1])
    return found


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass
class Footprint:
    """Everything that a run was ever seen to have: processes, sessions, ports, tokens."""

    mark: str
    processes: set[psutil.Process] = field(default_factory=set)
    sessions: set[int] = field(default_factory=set)
    ports: set[int] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)

    def look(self, root: psutil.Process | None = None) -> set[psutil.Process]:
        """Note what there is now, and return it."""
        now = self._marked()
        for process in [*now, *self.processes, *filter(None, [root])]:
            with suppress(psutil.NoSuchProcess):
                now.update(process.children(recursive=True))
        now = {process for process in now | self.processes if is_alive(process)}
        self.processes |= now
        listening = listening_sockets()
        for process in now:
            self.ports |= {
                listening[inode] for inode in sockets_of(process.pid) if inode in listening
            }
            with suppress(OSError):
                session = os.getsid(process.pid)
                if session in {each.pid for each in self.processes}:
                    self.sessions.add(session)
        return now

    def _marked(self) -> set[psutil.Process]:
        found = set()
        for pid in psutil.pids():
            if pid == os.getpid():
                continue
            variables = environment_of(pid)
            token = variables.get(RUN_MARK, "").partition("/")[0]
            ours = variables.get(TEST_MARK) == self.mark or token in self.tokens
            if not ours and not self._in_session(pid):
                continue
            if token:
                self.tokens.add(token)
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                for word in process.cmdline():  # the guardian is told the token this way
                    if word.startswith(f"{RUN_MARK}="):
                        self.tokens.add(word.partition("=")[2])
                found.add(process)
        return found

    def _in_session(self, pid: int) -> bool:
        with suppress(OSError):
            return os.getsid(pid) in self.sessions
        return False

    def held_ports(self) -> list[str]:
        """Return who listens on a port that was the run's: another run of the tests does not."""
        held = {inode: port for inode, port in listening_sockets().items() if port in self.ports}
        holders = {
            pid: held[inode]
            for pid in (psutil.pids() if held else [])
            for inode in sockets_of(pid) & held.keys()
        }
        return [
            f"{port} by {pid}"
            for pid, port in holders.items()
            if pid in {each.pid for each in self.processes} or RUN_MARK not in environment_of(pid)
        ]

    def temporary_folders(self) -> list[Path]:
        places = {Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")}  # noqa: S108
        return [
            path for place in places for token in self.tokens for path in place.glob(f"*{token}*")
        ]

    def assert_nothing_left(self) -> None:
        """Nothing of the run is there any more, a few seconds after it at the latest."""
        assert self.processes
        assert self.tokens
        wait_for(lambda: not self.look(), f"the end of {self.look()}", deadline=40.0)
        assert self.held_ports() == []
        assert self.temporary_folders() == []

    def kill(self) -> None:
        """End what a failed test has left; the guardian gets a while to do it in good order."""
        with suppress(AssertionError):
            wait_for(lambda: not self.look(), "the end", deadline=20.0)
        for process in self.look():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for folder in self.temporary_folders():
            shutil.rmtree(folder, ignore_errors=True)


class Harness:
    """One call of flask-bench that goes on."""

    def __init__(
        self, child: "subprocess.Popen[bytes]", results: Path, output: Path, mark: str
    ) -> None:
        self.child = child
        self.results = results
        self._output = output
        self.footprint = Footprint(mark)
        self._root = psutil.Process(child.pid)

    def look(self) -> set[psutil.Process]:
        return self.footprint.look(self._root)

    def process(self, *words: str) -> psutil.Process | None:
        """Return the first process whose command line has all these words in it."""
        for process in sorted(self.look(), key=lambda each: each.pid):
            with suppress(psutil.NoSuchProcess):
                line = " ".join(process.cmdline())
                if all(word in line for word in words):
                    return process
        return None

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        def happened() -> object:
            assert self.child.poll() is None, f"it ended before {what}:\n{self.output()}"
            return condition()

        wait_for(happened, what)

    def wait_for_load(self) -> None:
        self.wait_for(lambda: self.process("ab -r", "-g"), "the load")

    def saved_trials(self) -> int:
        """Return how many trials are in the saved run."""
        with suppress(Exception):
            return len(load_run(self.results / "latest").trials)
        return 0

    def signal(self, number: int, *, group: bool = False) -> None:
        (os.killpg if group else os.kill)(self.child.pid, number)

    def wait(self) -> Ended:
        """Wait for its end; all that it starts until then is noted."""
        until = time.monotonic() + DEADLINE
        while self.child.poll() is None:
            assert time.monotonic() < until, f"it does not end:\n{self.output()}"
            self.look()
            time.sleep(LOOK_EVERY)
        out, err = ((self._output / f"std{name}").read_text() for name in ("out", "err"))
        return Ended(self.child.returncode, out, err, self.results)

    def output(self) -> str:
        return (self._output / "stderr").read_text()


@contextmanager
def started(
    folder: Path,
    *arguments: str,
    results: Path | None = None,
    output: Path | None = None,
    program: Sequence[str] = (str(PROGRAM),),
    **variables: str,
) -> Iterator[Harness]:
    """Start flask-bench with its results and output in a folder; nothing is left of it after.

    ``results``, ``output``: other folders for these. ``variables`` go into its environment.
    """
    mark = uuid.uuid4().hex
    results = results or folder / "results"
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    environment |= {"PYTHONPATH": str(CHECKOUT), TEST_MARK: mark, **variables}
    options = ["--results", str(results)] if arguments[0] == "run" else []
    output = output or folder
    with (output / "stdout").open("wb") as out, (output / "stderr").open("wb") as err:
        child = subprocess.Popen(
            [*program, *arguments, *options],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,  # so that its process group can be signalled, as Ctrl-C does
        )
    harness = Harness(child, results, output, mark)
    try:
        yield harness
    finally:
        if child.poll() is None:
            harness.look()
            child.kill()
        child.wait()
        harness.footprint.kill()


def run(folder: Path, *arguments: str, **how: Any) -> Ended:
    """Run flask-bench to its end, and see that nothing is left of it."""
    with started(folder, *arguments, **how) as harness:
        ended = harness.wait()
        if harness.footprint.tokens:
            harness.footprint.assert_nothing_left()
    return ended


def write_app(folder: Path, name: str, text: str) -> Path:
    """Write a module of an app into a folder of its own, and return that."""
    place = folder / "shop"
    place.mkdir(exist_ok=True)
    (place / f"{name}.py").write_text(text)
    return place


def report_of(folder: Path) -> str:
    """Return what ``flask-bench report`` prints of a run."""
    ended = subprocess.run(
        [str(PROGRAM), "report", str(folder)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        timeout=DEADLINE,
    )
    return ended.stdout


def pure_json(text: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(text)
    return content
