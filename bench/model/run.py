"""All trials of one command."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bench.model.from_file import FromFile
from bench.model.machine import Machine
from bench.model.trial import Trial
from bench.model.workload import Workload

RunStatus = Literal["running", "complete", "interrupted"]


@dataclass(frozen=True)
class Run(FromFile):
    """All trials of one command."""

    schema: int
    id: str
    status: RunStatus
    """``running`` in a file that nobody writes any more means: cut short without warning."""
    started: str
    finished: str | None
    command: tuple[str, ...]
    runner: str
    generator: str
    app: str
    workload: Workload
    seed: int
    rounds: int
    planned: tuple[tuple[int, str], ...]
    """(round, deployment) in the order of the plan."""
    machine: Machine
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Deployment → why it was left out."""
    notes: tuple[str, ...] = ()
    trials: tuple[Trial, ...] = ()
