"""A server as a child process: own session, own log file, and an end that is certain."""

import errno
import itertools
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from bench.errors import MissingToolError, TrialError
from bench.processes import family, logs
from bench.processes.guardian import MARKER, Guardian

_POLL = 0.005
_FOLLOW = 1.0
"""Seconds for workers to follow a parent that is gone: gunicorn's look for theirs once a second."""

_NOT_RUNNABLE = {errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENOEXEC}

_numbers = itertools.count(1)


class ServerProcess:
    """One server, up inside a ``with`` block; afterwards nothing of it is left.

    ``environment`` is the complete environment of the child, to which only the run's marker is
    added. ``grace`` is the time in seconds between ``stop_signal`` and KILL. ``user`` starts it
    as somebody else (root only).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        cwd: Path,
        log: Path,
        guardian: Guardian,
        stop_signal: int = signal.SIGTERM,
        grace: float = 15.0,
        user: str | None = None,
    ) -> None:
        self.name = name
        self.command = tuple(command)
        self.log = log
        self.killed = False
        """Whether it took a KILL to end it, because ``grace`` was not enough."""
        # the run's token finds it after the harness's death, the number tells it from the others
        self._mark = f"{guardian.token}/{next(_numbers)}"
        self._environment = {**environment, MARKER: self._mark}
        self._cwd = cwd
        self._guardian = guardian
        self._stop_signal = stop_signal
        self.grace = grace
        self._user = user
        self._child: subprocess.Popen[bytes] | None = None
        self._root: psutil.Process | None = None
        self._family: set[psutil.Process] = set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Id of the first process: also of its session."""
        return self._started().pid

    @property
    def returncode(self) -> int | None:
        """``None`` while it runs, then its exit status, a signal as a negative number."""
        return self._started().poll()

    def start(self) -> None:
        """Start it, without waiting until it serves.

        Raises ``MissingToolError`` if there is no such program, ``TrialError`` if its log or
        folder cannot be used.
        """
        try:
            self._child = self._spawn()
            self._root = psutil.Process(self._child.pid)
            self._guardian.watch(self._child.pid, self._stop_signal)
        except BaseException:
            if self._child:
                self.stop()
            raise

    def is_running(self) -> bool:
        """Whether the first process is up."""
        return self._child is not None and self._child.poll() is None

    def check_running(self) -> None:
        """Raise a ``TrialError`` with the end of its log if it has exited."""
        if not self.is_running():
            raise TrialError(f"{self.name} {_how_it_ended(self.returncode)}; {self.describe_log()}")

    def describe_log(self) -> str:
        """Return where its log is, and the last lines of it."""
        return f"the end of its log ({self.log}):\n{logs.tail(self.log)}"

    def wait(self, timeout: float) -> int | None:
        """Wait until it ends by itself; its exit status, ``None`` if ``timeout`` seconds passed."""
        with suppress(subprocess.TimeoutExpired):
            return self._started().wait(timeout)
        return None

    def stop(self) -> None:
        """Stop it and everything that it started; may be called again, or after its death.

        An interrupt in the meantime cuts the grace short, not the clean-up. Raises ``TrialError``
        if something could not be ended even by KILL.
        """
        if self._child is None or self._root is None:
            return
        try:
            self._ask_to_stop(self._child)
        finally:
            self._end_what_is_left(self._child)

    def _ask_to_stop(self, child: subprocess.Popen[bytes]) -> None:
        self._look_around()
        until = time.monotonic() + self.grace
        if child.poll() is None:
            child.send_signal(self._stop_signal)
            while child.poll() is None and time.monotonic() < until:
                time.sleep(_POLL)
        until = min(until, time.monotonic() + _FOLLOW)
        while any(map(family.is_alive, self._family)) and time.monotonic() < until:
            time.sleep(_POLL)

    def _end_what_is_left(self, child: subprocess.Popen[bytes]) -> None:
        self._look_around()
        if self._family:
            self.killed = True
            leaders = self._sessions()
            left = family.kill(leaders, known=self._family, marker=f"{MARKER}={self._mark}")
            if left:  # not released: the guardian tries again at the end of the run
                pids = ", ".join(str(process.pid) for process in left)
                raise TrialError(
                    f"{self.name}: not even KILL ended process {pids}; it waits in the kernel "
                    "(a dead disk or network mount?) and has to be looked at by hand"
                )
        child.wait()
        self._guardian.release(child.pid)

    def _look_around(self) -> None:
        """Note who belongs to the family now: later a dead parent no longer shows its children."""
        self._family = family.find(
            self._sessions(), known=self._family, marker=f"{MARKER}={self._mark}"
        )

    def _sessions(self) -> tuple[int, ...]:
        """Return the session, unless a later process has its number."""
        root = self._root
        ours = root is not None and (root.is_running() or not psutil.pid_exists(root.pid))
        return (root.pid,) if root is not None and ours else ()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._child

    def _spawn(self) -> subprocess.Popen[bytes]:
        if not self._cwd.is_dir():
            raise TrialError(f"{self.name} cannot start in {self._cwd}: there is no such folder")
        account = pwd.getpwnam(self._user) if self._user else None
        try:
            log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise TrialError(
                f"{self.name} has no log: {self.log}: {error.strerror}. Make room or choose "
                "another results folder."
            ) from error
        try:
            return subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=self._cwd,
                start_new_session=True,
                user=account and account.pw_uid,
                group=account and account.pw_gid,
                extra_groups=[] if account else None,
            )
        except OSError as error:
            if error.errno not in _NOT_RUNNABLE:
                raise TrialError(f"{self.name} cannot start: {error.strerror}") from error
            raise MissingToolError(
                f"{self.name} cannot start: {self.command[0]}: {error.strerror}. Install it, or "
                "run `make clean` and the same target again to set up anew."
            ) from error
        finally:
            os.close(log)


def _how_it_ended(returncode: int | None) -> str:
    if returncode is not None and returncode < 0:
        try:
            name = signal.Signals(-returncode).name
        except ValueError:
            name = f"signal {-returncode}"
        return f"was ended by {name}"
    return f"exited with status {returncode}"
