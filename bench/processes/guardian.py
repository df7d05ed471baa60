"""The guardian: a helper process that cleans up after a harness that was killed outright.

No ``finally`` runs after ``kill -9``. The helper (``guardian_helper.py``) holds the read end of a
pipe whose only write end is in the harness, so it sees the end of the harness however that came.
"""

import itertools
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.errors import BenchError

MARKER = "FLASK_BENCH_RUN"
"""Environment variable that every child of a run carries: how one is found that nobody named."""

_HELPER = "bench.processes.guardian_helper"
_CHECKOUT = Path(__file__).resolve().parents[2]


class Guardian:
    """One per run of the harness, as a context manager around everything that it starts.

    Children that are not a ``ServerProcess`` need ``environment`` in theirs, to be found.
    """

    def __init__(self) -> None:
        self.token = secrets.token_hex(8)
        self._helper: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)

    @property
    def environment(self) -> Mapping[str, str]:
        """What belongs into the environment of every child of this run."""
        return {MARKER: self.token}

    @property
    def pid(self) -> int | None:
        """Id of the helper process; ``None`` outside of the ``with`` block."""
        return self._helper.pid if self._helper else None

    def __enter__(self) -> Self:
        self._helper = subprocess.Popen(
            [sys.executable, "-P", "-m", _HELPER, f"{MARKER}={self.token}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",  # it must not keep a file system busy that somebody wants to unmount
            env={**os.environ, "PYTHONPATH": _python_path()},
            bufsize=0,
            start_new_session=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        helper, self._helper = self._helper, None
        if helper and helper.stdin:
            helper.stdin.close()
            helper.wait()  # it has nothing to do unless something was left, and then it is bounded

    def watch(self, pid: int, stop_signal: int = signal.SIGTERM) -> None:
        """End this process, its session and descendants if the harness dies before ``release``.

        Raises ``BenchError`` if the guardian itself is gone.
        """
        self._tell("+pid", pid, int(stop_signal))

    def release(self, pid: int) -> None:
        """Forget a process: it is gone."""
        with suppress(BenchError):
            self._tell("-pid", pid)

    def watch_directory(self, path: Path) -> None:
        """Remove this folder if the harness dies before ``release_directory``."""
        self._tell("+dir", str(path))

    def release_directory(self, path: Path) -> None:
        """Forget a folder: it is gone."""
        with suppress(BenchError):
            self._tell("-dir", str(path))

    def watch_command(self, name: str, command: Sequence[str]) -> None:
        """Run this, after everything else has ended, if the harness dies before the release.

        For what is no process of ours and no folder: the containers of an engine. It runs in ``/``
        with the environment of this process, and is given `guardian_helper.COMMAND_WITHIN` seconds.
        """
        self._tell("+cmd", name, *command)

    def release_command(self, name: str) -> None:
        """Forget a command: there is nothing left for it to do."""
        with suppress(BenchError):
            self._tell("-cmd", name)

    @contextmanager
    def temporary_directory(self, parent: Path | None = None) -> Iterator[Path]:
        """Make a folder (mode 0700) that is removed at the end, whatever the end is."""
        base = parent or Path(tempfile.gettempdir())
        path = base / f"flask-bench-{self.token}-{next(self._numbers)}"
        self.watch_directory(path)  # before it exists: no moment in which nobody knows of it
        try:
            path.mkdir(mode=0o700)
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            self.release_directory(path)

    def _tell(self, *words: str | int) -> None:
        with self._lock:
            if self._helper is None or self._helper.stdin is None:
                raise BenchError("the guardian is not running: use it as a context manager")
            try:
                self._helper.stdin.write(json.dumps(words).encode() + b"\n")
            except OSError as error:
                raise BenchError(
                    f"the guardian process {self._helper.pid} is gone ({error.strerror}); without "
                    "it a killed run would leave its servers behind. Start the run again."
                ) from error


def _python_path() -> str:
    """Return where the helper finds ``bench``, and psutil where that is not installed normally."""
    return os.pathsep.join(filter(None, [str(_CHECKOUT), os.environ.get("PYTHONPATH")]))
