"""Run a load generator as a child process that can neither hang nor be left behind."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bench.errors import TrialError

POLL_INTERVAL = 0.05
"""Seconds between looks at the child: short beside any load, and too rare to cost CPU time."""

TICK_EVERY = 4
"""Looks between two calls of ``tick``: progress that people watch needs no more than five a second,
and to tell it costs more than the look."""

REAP_TIMEOUT = 10.0
"""Seconds until a killed child must be gone; only a hung disk or debugger takes longer."""


class Guardian(Protocol):
    """Kills what it watches when the harness itself is killed."""

    def watch(self, pid: int, /) -> object:
        """Take over the session of this process if the harness dies."""

    def release(self, pid: int, /) -> object:
        """Forget this process: it has ended."""


@dataclass(frozen=True)
class Ended:
    """How a child ended."""

    code: int
    """Exit code; negative: the signal that ended it."""
    cpu_seconds: float
    """User and system time."""


def run_child(
    command: Sequence[str],
    *,
    stdout: Path,
    stderr: Path,
    deadline: float,
    environment: Mapping[str, str],
    tick: Callable[[float], None],
    guardian: Guardian | None = None,
) -> Ended:
    """Run the command in a session of its own, calling ``tick`` with the seconds gone by.

    Raises TrialError if it does not end within ``deadline`` seconds or its output cannot be
    written. Whatever is raised, Ctrl-C included, the child is killed and reaped first.
    """
    process = _start(command, stdout, stderr, environment)
    started = time.monotonic()
    looks = 0
    try:
        if guardian is not None:
            guardian.watch(process.pid)
        while (ended := _reap(process)) is None:
            elapsed = time.monotonic() - started
            if elapsed > deadline:
                raise TrialError(f"{command[0]} did not end within {deadline:g} s and was killed")
            if looks % TICK_EVERY == 0:
                tick(elapsed)
            looks += 1
            time.sleep(POLL_INTERVAL)
    finally:
        if process.returncode is None:
            _kill(process)
        if guardian is not None:
            guardian.release(process.pid)
    return ended


def _start(
    command: Sequence[str], stdout: Path, stderr: Path, environment: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    try:
        with stdout.open("wb") as out, stderr.open("wb") as err:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=dict(environment),
                start_new_session=True,
            )
    except OSError as error:
        raise TrialError(f"could not start {command[0]}: {error}") from error


def _reap(process: "subprocess.Popen[bytes]") -> Ended | None:
    # wait4, because nothing else tells one child's CPU time from that of all the others.
    pid, status, usage = os.wait4(process.pid, os.WNOHANG)
    if pid == 0:
        return None
    process.returncode = os.waitstatus_to_exitcode(status)
    return Ended(code=process.returncode, cpu_seconds=usage.ru_utime + usage.ru_stime)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    # It leads its own process group, whose id therefore is its own.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=REAP_TIMEOUT)
