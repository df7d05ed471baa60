"""What a variant brings to its deployment, and how ours stand beside their peers."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.analysis.paired import Ratio, named, pairs
from bench.analysis.summary import summarise
from bench.model import Run

COMPARED = ("rps", "p50", "p99", "cpu", "memory")


@dataclass(frozen=True)
class SideBySide:
    """One deployment ÷ another one, paired by round."""

    deployment: str
    base: str
    rounds: int
    """In which both are valid."""
    ratios: Mapping[str, Ratio]
    """Metric → ratio, of those that are known on both sides."""


def variant_effects(run: Run) -> tuple[SideBySide, ...]:
    """Return each variant ÷ the deployment that it changes, of those that the run has both of."""
    deployments = {trial.deployment.name: trial.deployment for trial in run.trials}
    found = (
        _side_by_side(run, name, name.replace(f"@{deployment.variant}", "", 1))  # same runner
        for name, deployment in deployments.items()
        if deployment.variant and deployment.runner == "local"
    )
    return tuple(each for each in found if each)


def beside_peers(run: Run) -> tuple[SideBySide, ...]:
    """Return the fastest of ours ÷ each of the peers that the run has."""
    rows = [row for row in summarise(run) if row.requests_per_second]
    ours = [r.deployment.name for r in rows if not r.deployment.group and not r.deployment.variant]
    peers = [r.deployment.name for r in rows if r.deployment.group]
    found = (_side_by_side(run, name, peer) for name in ours[:1] for peer in peers)
    return tuple(each for each in found if each)


def _side_by_side(run: Run, name: str, base: str) -> SideBySide | None:
    both = pairs(run, named(base), named(name))
    if both is None:
        return None
    return SideBySide(name, base, len(both.base), both.ratios(COMPARED))
