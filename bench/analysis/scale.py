"""How a deployment's costs grow with the number of requests under way at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from bench.analysis.alike import runs_unlike
from bench.analysis.limits import ceiling_of
from bench.analysis.metrics import cpu_per_request, memory, rate
from bench.errors import UsageError
from bench.model import Run, Trial

DROPS = "ListenDrops"
"""Counter of the kernel: connections that it refused at a full queue."""


@dataclass(frozen=True)
class Point:
    """One deployment at one concurrency: medians over its valid trials; ``None``: not known."""

    deployment: str
    concurrency: int
    rounds: int
    slots: int | None
    requests_per_second: float
    of_ceiling: float | None
    cpu_per_request: float | None
    memory_bytes: float | None
    start: float | None
    """Seconds from the call until the first right answer."""
    drops: int
    """Connections that the kernel refused, in all trials together."""

    @property
    def memory_per_request(self) -> float | None:
        """Bytes of all its processes per request under way."""
        return self.memory_bytes / self.concurrency if self.memory_bytes else None


def growth(runs: Sequence[Run], *, allow_unlike: bool = False) -> tuple[Point, ...]:
    """Return the points of several runs, by deployment and then by concurrency.

    Raises:
        UsageError: the runs differ in machine or workload, or have no valid trial.

    """
    for run in runs[1:]:
        differences = tuple(runs_unlike(runs[0], run))
        if differences and not allow_unlike:
            raise UsageError(
                f"{runs[0].id} and {run.id} are not alike: {'; '.join(differences)}."
                " --allow-unlike puts them side by side all the same."
            )
    points = sorted(_points(runs), key=lambda point: (point.deployment, point.concurrency))
    if not points:
        raise UsageError("these runs have no valid trial: there is nothing to show")
    return tuple(points)


def _points(runs: Sequence[Run]) -> Iterator[Point]:
    groups: dict[tuple[str, int], list[tuple[Run, Trial]]] = {}
    for run in runs:
        for trial in run.trials:
            if trial.valid:
                key = trial.deployment.name, trial.load.concurrency
                groups.setdefault(key, []).append((run, trial))
    for (name, concurrency), found in groups.items():
        trials = [trial for _, trial in found]
        yield Point(
            deployment=name,
            concurrency=concurrency,
            rounds=len(trials),
            slots=trials[0].deployment.slots,
            requests_per_second=median(figure for t in trials if (figure := rate(t)) is not None),
            of_ceiling=_median([_of_ceiling(run, trial) for run, trial in found]),
            cpu_per_request=_median([cpu_per_request(trial) for trial in trials]),
            memory_bytes=_median([memory(trial) for trial in trials]),
            start=_median([trial.seconds.get("start") for trial in trials]),
            drops=sum(_drops(trial) for trial in trials),
        )


def _of_ceiling(run: Run, trial: Trial) -> float | None:
    limit = ceiling_of(trial.deployment, trial.load, run.workload)
    reached = rate(trial)
    return reached / limit.requests_per_second if limit and reached else None


def _drops(trial: Trial) -> int:
    return int(trial.surroundings.counters.get(DROPS, 0)) if trial.surroundings else 0


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
