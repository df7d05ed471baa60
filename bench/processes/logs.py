"""The end of a server's log, cut so that the reason of its death is in it."""

import re
from pathlib import Path

LINES = 20
"""Last lines shown; enough for the closing words of every server here."""

_TRACEBACK = "Traceback (most recent call last):"
_CHAINED = (
    "During handling of the above exception",
    "The above exception was the direct cause",
)
_CLOSING = re.compile(r"[A-Za-z_][\w.]*(: .*)?")
"""The line that ends a traceback and says what it was: an exception's name and its text."""
_ERROR = re.compile(r"[A-Za-z_][\w.]*Error: .+")
_MOST_UNNAMED = 3
_TOLD_TO_STOP = ("KeyboardInterrupt", "SystemExit", "GreenletExit", "greenlet.GreenletExit")
_HALT = "gunicorn.errors.HaltServer:"
"""How gunicorn's master ends because a worker did: the worker's own traceback is before it."""
_READ_BYTES = 64 * 1024
_MOST_LINES = 120


def tail(path: Path, lines: int = LINES) -> str:
    """Return the last lines of a log, the last traceback whole; says so when there are none."""
    try:
        with path.open("rb") as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - _READ_BYTES))
            text = log.read().decode(errors="replace")
    except OSError as error:
        return f"(no log: {error.strerror})"
    return shorten(text, lines) or "(the log is empty)"


def shorten(text: str, lines: int = LINES) -> str:
    """Return the last ``lines`` of a text, or more of them to show its last traceback whole."""
    every = _without_halt(text.rstrip().splitlines())
    start = max(0, len(every) - lines)
    traceback = _start_of_last_traceback(every)
    if traceback is not None:
        start = min(start, traceback)
    shown = every[start:]
    if len(shown) > _MOST_LINES:
        middle = _MOST_LINES // 2
        left_out = len(shown) - 2 * middle
        shown = [*shown[:middle], f"    … {left_out} lines left out …", *shown[-middle:]]
    # Whatever several dying workers wrote between each other's lines: no error goes unnamed.
    errors = dict.fromkeys(line for line in every if _ERROR.fullmatch(line.rstrip()))
    unnamed = [f"(before that: {line})" for line in errors if line not in shown]
    return "\n".join([*unnamed[-_MOST_UNNAMED:], *shown])


def _start_of_last_traceback(lines: list[str]) -> int | None:
    """Return the index where the last traceback starts, with the exceptions that led to it."""
    starts = [index for index, line in enumerate(lines) if _TRACEBACK in line]
    if not starts:
        return None
    # Of several workers that die of the same cause, the slowest are told to stop by the others'
    # death: killed before they have said anything, or interrupted in the middle of their start.
    while len(starts) > 1 and not _says_why(lines[starts[-1] + 1 :]):
        starts.pop()
    first = len(starts) - 1
    while first and any(
        line.lstrip().startswith(_CHAINED) for line in lines[starts[first - 1] : starts[first]]
    ):
        first -= 1
    return starts[first]


def _says_why(lines: list[str]) -> bool:
    """Tell whether a traceback's frames are followed by an exception that is a cause."""
    for line in lines:
        if _TRACEBACK in line:
            return False
        if line and not line[0].isspace() and _CLOSING.fullmatch(line.rstrip()):
            return not line.startswith(_TOLD_TO_STOP)
    return False


def _without_halt(lines: list[str]) -> list[str]:
    start = _start_of_last_traceback(lines)
    if start and any(line.startswith(_HALT) for line in lines[start:]):
        return lines[:start]
    return lines
