"""Carries a plan out: trial after trial, the run saved after each."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from bench.errors import BenchError
from bench.model import Run, Trial
from bench.plan import PlannedTrial
from bench.store import save_run
from bench.trial import Bench, run_trial

BODIES_VARY = (
    "no two answers of {path} have the same body, so under load only their status was checked: an"
    " error page that says 200 would pass"
)


class Observer(Protocol):
    """Is told how a run goes on."""

    def begins(self, planned: PlannedTrial, index: int) -> None:
        """Take note that the trial of this index (from 0) begins."""

    def progress(self, phase: str, done: float) -> None:
        """Take note of the phase in hand, and of how much of it is done (0 to 1)."""

    def ended(self, trial: Trial) -> None:
        """Take note of a trial's outcome."""


def execute(
    run: Run, plan: Sequence[PlannedTrial], bench: Bench, folder: Path, observer: Observer
) -> tuple[Run, BenchError | None]:
    """Carry the plan out and return the run with its trials, `Run.status` saying how it ended.

    Returns:
        The run, and why its newest state could not be saved (``None``: it was). A disk that
        fills up in mid-run loses no result that way: what is in memory is still shown.

    """
    interrupted = False
    _saved(run, folder)
    try:
        for index, planned in enumerate(plan):
            observer.begins(planned, index)
            trial = run_trial(bench, planned, observer.progress)
            run = _with_notes(replace(run, trials=(*run.trials, trial)), bench)
            _saved(run, folder)
            observer.ended(trial)
    except KeyboardInterrupt:
        interrupted = True
    run = replace(
        run,
        status="interrupted" if interrupted else "complete",
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return run, _saved(run, folder)


def _with_notes(run: Run, bench: Bench) -> Run:
    """Add what the runner knows, and what a reader has to know of the last trial's answers."""
    versions = {**run.machine.versions, **bench.runner.versions}
    notes = dict.fromkeys((*run.notes, *bench.runner.notes))
    verification = run.trials[-1].verification
    if verification and verification.bodies_vary:
        path = "some request of the scenario" if run.workload.mix else run.workload.path
        notes[BODIES_VARY.format(path=path)] = None
    return replace(run, machine=replace(run.machine, versions=versions), notes=tuple(notes))


def _saved(run: Run, folder: Path) -> BenchError | None:
    try:
        save_run(run, folder)
    except BenchError as error:
        return error
    return None
