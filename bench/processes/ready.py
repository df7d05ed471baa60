"""Wait until a server serves: by asking it, never by sleeping a fixed time."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from bench.errors import TrialError, WrongAnswerError

FIRST_PAUSE = 0.005
LAST_PAUSE = 0.05
"""Seconds between two probes: short at first, since most servers are up within 0.3 s."""

Probe = Callable[[], str | None]
"""Returns ``None`` when the server is ready, else why not."""


class Started(Protocol):
    """What is waited for: a process, or a container."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    def check_running(self) -> None:
        """Raise a ``TrialError`` with the end of its log if it has ended."""

    def describe_log(self) -> str:
        """Return where its log is, and the last lines of it."""


def wait_until_ready(
    probe: Probe,
    processes: Sequence[Started],
    *,
    deadline: float,
    what: str,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return as soon as ``probe`` is content.

    Raises ``TrialError`` at once if one of ``processes`` exits or the probe finds that waiting is
    of no use, or after ``deadline`` seconds with the last reason of the probe; and with the end of
    the logs.
    """
    until = clock() + deadline
    pause = FIRST_PAUSE
    while True:
        for process in processes:
            process.check_running()
        try:
            reason = probe()
        except WrongAnswerError as error:
            raise TrialError(f"{error}\n{_logs(processes)}".rstrip()) from error
        if reason is None:
            break
        if clock() >= until:
            raise TrialError(
                f"{what} was not ready within {deadline:g} s: {reason}\n{_logs(processes)}".rstrip()
            )
        sleep(pause)
        pause = min(pause * 1.5, LAST_PAUSE)
    for process in processes:  # an answer from somebody else, while ours found the port taken?
        process.check_running()


def _logs(processes: Sequence[Started]) -> str:
    return "\n".join(f"{each.name}: {each.describe_log()}" for each in processes)
