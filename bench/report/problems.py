"""What of a run has no valid result, and why: one line each, with a pointer to the rest."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.model import Run, Trial

LONGEST_LINE = 240
"""Characters of a failure that a table's footnote can take."""


SHOWN_LINES = 8
"""Lines of a failure that the terminal shows below its first one."""


@dataclass(frozen=True)
class Failure:
    """One reason for which trials of one deployment are invalid."""

    deployment: str
    line: str
    """The first line of the reason."""
    text: str
    """The whole reason, as its first trial gives it; often with the end of a log."""
    trials: tuple[Trial, ...]
    of: int
    """Trials of this deployment in all."""

    @property
    def cut(self) -> bool:
        """Whether the reason says more than its line."""
        return self.line != self.text

    @property
    def end(self) -> tuple[str, ...]:
        """The last lines of what it says beyond its first one: the cause and the remedy."""
        return tuple(self.text.splitlines()[1:][-SHOWN_LINES:])


def failures(run: Run) -> tuple[Failure, ...]:
    """Return every reason once per deployment, in the order in which they occurred."""
    reasons: dict[tuple[str, str], list[Trial]] = {}
    of: dict[str, int] = {}
    for trial in run.trials:
        name = trial.deployment.name
        of[name] = of.get(name, 0) + 1
        if trial.failure is not None:
            reasons.setdefault((name, _first_line(trial.failure)), []).append(trial)
    return tuple(
        Failure(name, line, _text(trials), tuple(trials), of[name])
        for (name, line), trials in reasons.items()
    )


def problems(run: Run) -> tuple[str, ...]:
    """Return what went wrong with a run, a line each."""
    found = [_line(failure) for failure in failures(run)]
    found += [f"{name}: skipped: {_first_line(why)}" for name, why in run.skipped.items()]
    missing = len(run.planned) - len(run.trials)
    if missing:
        how = "interrupted" if run.status == "interrupted" else "cut short"
        found.append(f"the run was {how}: {missing} of {len(run.planned)} trials are missing")
    return tuple(found)


def _line(failure: Failure) -> str:
    count = len(failure.trials)
    notes = [f"{count} of {failure.of} trials"] if failure.of > 1 else []
    notes += [f"more in {failure.trials[0].folder}/"] if failure.cut else []
    return f"{failure.deployment}: {failure.line}" + (f" ({'; '.join(notes)})" if notes else "")


def _text(trials: Sequence[Trial]) -> str:
    return (trials[0].failure or "").strip()


def _first_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"
