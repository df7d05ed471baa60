"""How a run goes on, on standard error: a live bar on a terminal, plain lines in a pipe."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from bench.analysis.limits import ceiling_of
from bench.model import Trial, Workload
from bench.plan import PlannedTrial, estimated_seconds
from bench.report import figures

SHOWN_PHASES = {
    "start": "starting",
    "verify": "verifying",
    "warm-up": "warming up",
    "load": "loading",
    "stop": "stopping",
}


class ProgressReport:
    """The observer of a run that people watch."""

    def __init__(self, console: Console, plan: Sequence[PlannedTrial], workload: Workload) -> None:
        self._console = console
        self._plan = plan
        self._workload = workload
        self._index = 0
        self._began = time.monotonic()
        self._live = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._live.add_task("", total=len(plan), left="")

    def __enter__(self) -> Self:
        count = len(self._plan)
        self._console.print(
            f"{count} {'trial' if count == 1 else 'trials'} of {self._workload.name},"
            f" about {figures.span(estimated_seconds(self._plan, self._workload))}",
            highlight=False,
        )
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def begins(self, planned: PlannedTrial, index: int) -> None:
        """Show which trial is in hand."""
        self._planned = planned
        self._index = index
        self._trial_began = time.monotonic()
        self.progress("start", 0.0)

    def progress(self, phase: str, done: float) -> None:
        """Show the phase in hand, and the time that is left as estimated before."""
        planned = self._planned
        trial = estimated_seconds([planned], self._workload)
        later = estimated_seconds(self._plan[self._index + 1 :], self._workload)
        left = later + max(0.0, trial - (time.monotonic() - self._trial_began))
        share = min(1.0, (time.monotonic() - self._trial_began) / trial)
        self._live.update(
            self._task,
            completed=self._index + (share if phase != "load" else max(share, done * 0.95)),
            description=f"{self._index + 1}/{len(self._plan)} {planned.deployment.name}:"
            f" {SHOWN_PHASES[phase]}" + (f" {done:.0%}" if phase == "load" else ""),
            left=f"{figures.span(left)} left",
        )

    def ended(self, trial: Trial) -> None:
        """Print what came of it: one line."""
        head = f"{self._index + 1}/{len(self._plan)} {trial.deployment.name}"
        if trial.valid and trial.measurement:
            rate = trial.measurement.requests_per_second
            limit = ceiling_of(trial.deployment, trial.load, self._workload)
            share = f", {rate / limit.requests_per_second:.0%} of the ceiling" if limit else ""
            self._console.print(f"{head}: {figures.rate(rate)} req/s{share}", highlight=False)
        else:
            reason = (trial.failure or "no measurement").strip()
            self._console.print(
                f"{head}: invalid: {reason}", style="red", highlight=False, markup=False
            )
