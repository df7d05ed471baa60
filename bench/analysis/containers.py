"""What a container costs: the same deployment with and without one, paired by round."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.analysis.paired import Pairs, Ratio, pairs
from bench.analysis.side_by_side import COMPARED
from bench.model import Deployment, Run, Trial

PROXY = "docker-proxy"
"""Role of the engine's process that hands a published port's bytes on."""


@dataclass(frozen=True)
class ContainerCost:
    """One deployment in both ways."""

    deployment: str
    rounds: int
    """In which both are valid."""
    ratios: Mapping[str, Ratio]
    """Metric → ratio, of those that are known on both sides."""
    start_without: float | None
    """Median of the seconds from the call until the first right answer …"""
    start_within: float | None
    """… and the same in a container, whose image is there already."""
    proxy_cpu_per_request: float | None
    """CPU seconds that the published port's process spent; ``None``: there was none to see."""


def container_costs(run: Run) -> tuple[ContainerCost, ...]:
    """Return what the run knows of it: nothing unless deployments ran in both ways."""
    found = []
    for name in dict.fromkeys(trial.deployment.base_name for trial in run.trials):
        both = pairs(run, _runs_in("local", name), _runs_in("compose", name))
        if both:
            found.append(_cost(name, both))
    return tuple(found)


def _runs_in(runner: str, name: str) -> Callable[[Deployment], bool]:
    return lambda deployment: (
        (deployment.base_name, deployment.runner, deployment.variant) == (name, runner, "")
    )


def _cost(name: str, both: Pairs) -> ContainerCost:
    spent = [_proxy_cpu(trial) for trial in both.other]
    known = [each for each in spent if each is not None]
    return ContainerCost(
        deployment=name,
        rounds=len(both.other),
        ratios=both.ratios(COMPARED),
        start_without=_start(both.base),
        start_within=_start(both.other),
        proxy_cpu_per_request=sum(known) / len(known) if known else None,
    )


def _start(trials: Sequence[Trial]) -> float | None:
    known = [trial.seconds["start"] for trial in trials if "start" in trial.seconds]
    return median(known) if known else None


def _proxy_cpu(trial: Trial) -> float | None:
    used, measured = trial.usage.get(PROXY), trial.measurement
    if used is None or measured is None or not measured.requests:
        return None
    return used.cpu_seconds / measured.requests
