"""Find a server's whole family of processes, and end it.

A server is more than its first process: workers, their children, and whatever went into a session
of its own (Postgres's backends do, so does anything that daemonizes). Three marks find them all:
the session that the first process leads, descent, and an environment variable that every child
inherits. None is enough alone: sessions can be left, parents die, environments are overwritten.

Also used by the guardian's helper process, so only psutil and the standard library belong here.
"""

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

_PROC = Path("/proc")
_HAS_PROC = Path("/proc/self/environ").exists()
_POLL = 0.005


def is_alive(process: psutil.Process) -> bool:
    """Whether exactly this process runs; a zombie does not, nor does a later one of the same id."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def find(
    leaders: Iterable[int] = (), *, known: Iterable[psutil.Process] = (), marker: str | None = None
) -> set[psutil.Process]:
    """Return every living process of a family, this process itself never included.

    ``leaders`` are ids of session leaders, ``known`` processes that belong to the family and whose
    descendants do too, ``marker`` is a ``NAME=value`` of their environment (a value that goes on
    with ``/…`` matches too).
    """
    sessions = set(leaders)
    marks = None if marker is None else (marker.encode(), f"{marker}/".encode())
    found = {process for process in known if is_alive(process)}
    for pid in psutil.pids():
        if _session_of(pid) in sessions or (marks and _is_marked(pid, marks)):
            with suppress(psutil.NoSuchProcess):
                found.add(psutil.Process(pid))
    covered: set[psutil.Process] = set()
    for process in sorted(found, key=lambda each: each.pid):
        if (
            process not in covered
        ):  # each search reads the whole process table: mostly one is enough
            with suppress(psutil.NoSuchProcess):
                covered.update(process.children(recursive=True))
    found |= covered
    own = os.getpid()
    return {process for process in found if process.pid != own and is_alive(process)}


def send(processes: Iterable[psutil.Process], number: int) -> None:
    """Send a signal to each of them that still lives."""
    for process in processes:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.send_signal(number)


def kill(
    leaders: Iterable[int] = (),
    *,
    known: Iterable[psutil.Process] = (),
    marker: str | None = None,
    deadline: float = 10.0,
) -> set[psutil.Process]:
    """KILL a family until nothing of it is left; return what was still there after ``deadline`` s.

    It searches again after each round: a process may fork between the search and the signal.
    """
    leaders, known = tuple(leaders), set(known)
    until = time.monotonic() + deadline
    while left := find(leaders, known=known, marker=marker):
        known |= left
        send(left, signal.SIGKILL)
        if time.monotonic() > until:
            return left
        time.sleep(_POLL)
    return set()


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _is_marked(pid: int, marks: tuple[bytes, bytes]) -> bool:
    whole, beginning = marks
    entries = _environment_of(pid)
    return any(entry == whole or entry.startswith(beginning) for entry in entries)


def _environment_of(pid: int) -> list[bytes]:
    """Return the environment that a process started with; nothing where it may not be read."""
    if _HAS_PROC:  # ten times as fast as psutil, and this reads every process of the machine
        try:
            return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
        except OSError:
            return []
    try:
        return [f"{n}={v}".encode() for n, v in psutil.Process(pid).environ().items()]
    except psutil.Error:
        return []
