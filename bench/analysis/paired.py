"""Two deployments of one run, round by round: how many times the one is the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.analysis.metrics import METRICS, Metric
from bench.analysis.stats import RatioEstimate, ratio
from bench.model import Deployment, Run, Trial


@dataclass(frozen=True)
class Ratio:
    """The one ÷ the other; ``value`` is the geometric mean over the rounds."""

    value: float
    estimate: RatioEstimate | None
    """``None`` with one round: no uncertainty known."""


@dataclass(frozen=True)
class Pairs:
    """Trials of both, of the rounds in which both are valid: the same place is the same round."""

    base: tuple[Trial, ...]
    other: tuple[Trial, ...]

    def ratios(self, metrics: Sequence[str]) -> Mapping[str, Ratio]:
        """Return metric → other ÷ base, of those that are known on both sides."""
        found = {name: _ratio(METRICS[name], self.base, self.other) for name in metrics}
        return {name: each for name, each in found.items() if each}


def pairs(
    run: Run, base: Callable[[Deployment], bool], other: Callable[[Deployment], bool]
) -> Pairs | None:
    """Return the pairs of the deployments that the two say yes to; ``None``: no common round."""
    first, second = _by_round(run, base), _by_round(run, other)
    common = sorted(first.keys() & second.keys())
    if not common:
        return None
    return Pairs(tuple(first[n] for n in common), tuple(second[n] for n in common))


def named(name: str) -> Callable[[Deployment], bool]:
    """Return what says yes to the deployment of this very name."""
    return lambda deployment: deployment.name == name


def _by_round(run: Run, wanted: Callable[[Deployment], bool]) -> dict[int, Trial]:
    return {t.round: t for t in run.trials if t.valid and wanted(t.deployment)}


def _ratio(metric: Metric, base: Sequence[Trial], other: Sequence[Trial]) -> Ratio | None:
    known = [
        (before, after)
        for before, after in zip(map(metric.figure, base), map(metric.figure, other), strict=True)
        if before and after
    ]
    if not known:
        return None
    if len(known) == 1:
        return Ratio(known[0][1] / known[0][0], None)
    estimate = ratio([b for b, _ in known], [a for _, a in known], paired=True)
    return Ratio(estimate.value, estimate) if estimate else None
