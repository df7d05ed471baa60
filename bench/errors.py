"""Errors that a user can cause or mend; the command line prints their text and nothing else."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a call of ``flask-bench`` can end with (README, Exit codes)."""

    OK = 0
    REGRESSION = 1
    USAGE = 2
    TRIAL_FAILED = 3
    INCONCLUSIVE = 4
    INTERRUPTED = 130


class BenchError(Exception):
    """Base of all errors with a remedy: the text says what is wrong, and what to do about it."""

    exit_code = ExitCode.USAGE


class UsageError(BenchError):
    """The call itself cannot be carried out: an unknown name, a value out of range."""


class MissingToolError(BenchError):
    """A program or package that the call needs is not on this machine."""


class ResultsError(BenchError):
    """The results cannot be kept: no room, no right to write, a file in the way."""

    exit_code = ExitCode.TRIAL_FAILED


class TrialError(BenchError):
    """One trial could not be carried out; the other trials still run."""

    exit_code = ExitCode.TRIAL_FAILED


class WrongAnswerError(TrialError):
    """A server has answered, and waiting would not change what."""
