"""The guardian's own process: ``python -m bench.processes.guardian_helper NAME=token``.

Reads what to watch from standard input, and at its end, when the harness is gone, stops what was
left: each server by its own stop signal, after a short grace everything by KILL; then the folders,
and at last the commands for what is neither (containers).
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from bench.processes import family

GRACE = 5.0
"""Seconds to finish in: the clients are gone too, so nothing is worth waiting longer for."""

COMMAND_WITHIN = 60.0
"""Seconds for each command; a busy engine takes its time to remove a container."""

_POLL = 0.01
_REMOVE_ATTEMPTS = 20


class Watched:
    """What the harness has registered and not yet released."""

    def __init__(self) -> None:
        self.leaders: dict[int, int] = {}
        """Ids of session leaders → the signal that stops each."""
        self.processes: dict[int, psutil.Process] = {}
        """The same with the time of their creation; without those that died before they were
        looked at."""
        self.directories: set[Path] = set()
        self.commands: dict[str, tuple[str, ...]] = {}

    def note(self, line: bytes) -> None:
        """Take in one message; one that is cut short or unknown is left out."""
        with suppress(ValueError, TypeError):
            match json.loads(line):
                case ["+pid", int(pid), int(number)]:
                    self._add(pid, number)
                case ["-pid", int(pid)]:
                    self.leaders.pop(pid, None)
                    self.processes.pop(pid, None)
                case ["+dir", str(path)]:
                    self.directories.add(Path(path))
                case ["-dir", str(path)]:
                    self.directories.discard(Path(path))
                case ["+cmd", str(name), str(program), *arguments]:
                    self.commands[name] = (program, *map(str, arguments))
                case ["-cmd", str(name)]:
                    self.commands.pop(name, None)

    def _add(self, pid: int, number: int) -> None:
        self.leaders[pid] = number
        with suppress(psutil.NoSuchProcess):
            self.processes[pid] = psutil.Process(pid)

    def sessions(self) -> set[int]:
        """Return the sessions that are still ours: not one that a later process leads."""
        return {
            pid
            for pid in self.leaders
            if not psutil.pid_exists(pid)
            or (pid in self.processes and self.processes[pid].is_running())
        }


def stop_everything(watched: Watched, marker: str) -> None:
    """Stop all that was registered or carries the marker."""
    known: set[psutil.Process] = set()
    left = family.find(watched.sessions(), known=watched.processes.values(), marker=marker)
    asked = {process for process in left if process.pid in watched.leaders}
    for process in asked:
        family.send([process], watched.leaders[process.pid])
    until = time.monotonic() + GRACE
    while left and time.monotonic() < until:
        known |= left
        # once no leader is left to end its workers in good order, nobody else will end them
        if not any(family.is_alive(process) for process in asked):
            break
        time.sleep(_POLL)
        left = family.find(watched.sessions(), known=known, marker=marker)
    family.kill(watched.sessions(), known=known | left, marker=marker)


def remove(directories: Iterable[Path]) -> None:
    """Remove folders; again for a while if something was just being written there."""
    for directory in directories:
        for _ in range(_REMOVE_ATTEMPTS):
            shutil.rmtree(directory, ignore_errors=True)
            if not directory.exists():
                break
            time.sleep(_POLL)


def run(commands: Iterable[tuple[str, ...]]) -> None:
    """Run commands one after the other; one that hangs or fails does not keep the next waiting."""
    for command in commands:
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=COMMAND_WITHIN,
                check=False,
            )


def main() -> None:
    """Watch until standard input ends, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    watched = Watched()
    for line in sys.stdin.buffer:
        watched.note(line)
    stop_everything(watched, sys.argv[1])
    remove(watched.directories)
    run(watched.commands.values())


if __name__ == "__main__":
    main()
