"""What a container costs: the same deployment with and without one, paired by round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.analysis.metrics import METRICS, Metric
from bench.analysis.stats import RatioEstimate, ratio
from bench.model import Run, Trial

COMPARED = ("rps", "p50", "p99", "cpu", "memory")
PROXY = "docker-proxy"
"""Role of the engine's process that hands a published port's bytes on."""


@dataclass(frozen=True)
class Ratio:
    """In a container ÷ without one; ``value`` is the geometric mean over the rounds."""

    value: float
    estimate: RatioEstimate | None
    """``None`` with one round: no uncertainty known."""


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
        without, within = (_by_round(run, name, runner) for runner in ("local", "compose"))
        if common := sorted(without.keys() & within.keys()):
            inside = [within[number] for number in common]
            found.append(_cost(name, [without[number] for number in common], inside))
    return tuple(found)


def _by_round(run: Run, name: str, runner: str) -> dict[int, Trial]:
    return {
        trial.round: trial
        for trial in run.trials
        if trial.valid and trial.deployment.base_name == name and trial.deployment.runner == runner
    }


def _cost(name: str, without: Sequence[Trial], within: Sequence[Trial]) -> ContainerCost:
    ratios = {metric: _ratio(METRICS[metric], without, within) for metric in COMPARED}
    spent = [_proxy_cpu(trial) for trial in within]
    known = [each for each in spent if each is not None]
    return ContainerCost(
        deployment=name,
        rounds=len(within),
        ratios={metric: found for metric, found in ratios.items() if found},
        start_without=_start(without),
        start_within=_start(within),
        proxy_cpu_per_request=sum(known) / len(known) if known else None,
    )


def _ratio(metric: Metric, without: Sequence[Trial], within: Sequence[Trial]) -> Ratio | None:
    pairs = [
        (before, after)
        for before, after in zip(
            map(metric.figure, without), map(metric.figure, within), strict=True
        )
        if before and after
    ]
    if not pairs:
        return None
    if len(pairs) == 1:
        return Ratio(pairs[0][1] / pairs[0][0], None)
    estimate = ratio([b for b, _ in pairs], [a for _, a in pairs], paired=True)
    return Ratio(estimate.value, estimate) if estimate else None


def _start(trials: Sequence[Trial]) -> float | None:
    known = [trial.seconds["start"] for trial in trials if "start" in trial.seconds]
    return median(known) if known else None


def _proxy_cpu(trial: Trial) -> float | None:
    used, measured = trial.usage.get(PROXY), trial.measurement
    if used is None or measured is None or not measured.requests:
        return None
    return used.cpu_seconds / measured.requests
