"""What the commands print with, and how they write files."""

import sys
from pathlib import Path

import click
from rich.console import Console

from bench.errors import BenchError
from bench.model import Run
from bench.store import run_as_json

WIDTH_IN_A_PIPE = 10_000
"""Columns: no line is so long that it would be cut or broken there."""


class ResultsConsole(Console):
    """A console whose reader may leave early: that is for `main` to handle, not an error."""

    def on_broken_pipe(self) -> None:
        """Hand the error on instead of exiting with 1, as Rich would."""
        raise BrokenPipeError


def stdout() -> Console:
    """Return the console for results; in a pipe it neither wraps nor colours."""
    return ResultsConsole(width=None if sys.stdout.isatty() else WIDTH_IN_A_PIPE)


def stderr() -> Console:
    """Return the console for progress and errors."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH_IN_A_PIPE)


def say(text: str) -> None:
    """Tell how it goes; results go to standard output instead."""
    stderr().print(text, markup=False, highlight=False)


def warn(text: str) -> None:
    """Tell of something that is going to make a run misleading."""
    stderr().print(f"warning: {text}", style="yellow", markup=False, highlight=False)


def print_run(run: Run, *, as_json: bool) -> None:
    """Print a run's table, or its record."""
    if as_json:
        click.echo(run_as_json(run))
        return
    from bench.report import terminal  # noqa: PLC0415 - SciPy: not before the first trial

    for part in terminal.run_report(run):
        stdout().print(part, highlight=False)


def write(file: Path, text: str) -> None:
    """Write a report and say where it is.

    Raises:
        BenchError: the file cannot be written.

    """
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise BenchError(f"cannot write {file}: {error.strerror}") from error
    say(f"written: {file}")
