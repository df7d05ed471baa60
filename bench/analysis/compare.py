"""Two runs, deployment by deployment: what is faster or slower, and how sure that is."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from bench.analysis.alike import deployments_unlike, identity, runs_unlike, versions_changed
from bench.analysis.judge import Finding, Outcome, confidence_of, judge
from bench.analysis.metrics import DEFAULT_THRESHOLD, Metric, metric_of
from bench.analysis.stats import RatioEstimate, ratio
from bench.analysis.summary import Row, summarise
from bench.errors import ExitCode, UsageError
from bench.model import Run, Trial


@dataclass(frozen=True)
class Pair:
    """One deployment in both runs."""

    base: Row
    new: Row
    finding: Finding
    metric: Metric


@dataclass(frozen=True)
class Comparison:
    """Two runs, deployment by deployment."""

    base: str
    new: str
    metric: Metric
    threshold: float
    confidence: float
    """Of each interval."""
    pairs: tuple[Pair, ...]
    only_in_base: tuple[str, ...]
    only_in_new: tuple[str, ...]
    differences: tuple[str, ...]
    """What else differs between the runs: any of it may explain what the figures show."""
    changes: tuple[str, ...]
    """Versions and revisions that changed: what such a comparison is mostly for."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """What the base has and the new run was to have, but left out, and why: nothing is known."""
    cut_short: tuple[str, ...] = ()
    """Runs that did not get to their end: what they have is compared."""
    drift: RatioEstimate | None = None
    """How many times as long the machine took for the same computing; ``None``: not known."""

    @property
    def exit_code(self) -> ExitCode:
        """A regression anywhere, else anything inconclusive, else fine."""
        if any(pair.finding.regression for pair in self.pairs):
            return ExitCode.REGRESSION
        unknown = any(pair.finding.outcome is Outcome.INCONCLUSIVE for pair in self.pairs)
        if unknown or self.left_out:
            return ExitCode.INCONCLUSIVE
        return ExitCode.OK


def compare(
    base: Run,
    new: Run,
    *,
    metric: str = "rps",
    threshold: float = DEFAULT_THRESHOLD,
    allow_unlike: bool = False,
) -> Comparison:
    """Compare what both runs have in common; rounds of different runs are not paired.

    Each decision errs at most once in 100, and all of a comparison together at most once in 20:
    the intervals get wider with more than five deployments.

    Raises:
        UsageError: an unknown metric, a threshold out of range, the same run twice, no deployment
            in common, or runs that differ in more than versions (listed), unless allowed.

    """
    chosen = metric_of(metric)
    if not 0 <= threshold < 1:
        raise UsageError(f"the threshold is {threshold:g}; allowed is 0 to 1, as in 0.05 or 5%")
    if identity(base) == identity(new):
        raise UsageError(f"BASE and NEW are the same run: {base.id}")
    old = {row.deployment.name: row for row in summarise(base)}
    current = {row.deployment.name: row for row in summarise(new)}
    common = _common(base, new, old.keys(), current.keys())
    differences = [*runs_unlike(base, new)]
    for name in common:
        differences += deployments_unlike(old[name], current[name])
    if differences and not allow_unlike:
        raise UsageError(
            f"{base.id} and {new.id} are not alike, so that their figures would not compare:\n  "
            + "\n  ".join(differences)
            + "\nTo compare them nevertheless: --allow-unlike."
        )
    confidence = confidence_of(len(common))
    drift = _drift(base, new, common, confidence)

    def pair(name: str) -> Pair:
        before, after = _trials(base, name), _trials(new, name)
        found = judge(before, after, chosen, threshold=threshold, confidence=confidence)
        held = _held_by_ceiling(old[name], current[name], chosen)
        if not held:
            found = _unless_drift(found, drift, chosen, threshold)
        found = _noted(found) if held else found
        return Pair(old[name], current[name], found, chosen)

    return Comparison(
        base=base.id,
        new=new.id,
        metric=chosen,
        threshold=threshold,
        confidence=confidence,
        pairs=tuple(pair(name) for name in common),
        only_in_base=tuple(name for name in old if name not in current),
        only_in_new=tuple(name for name in current if name not in old),
        differences=tuple(differences),
        changes=tuple(versions_changed(base, new)),
        left_out={name: why for name, why in new.skipped.items() if name in old},
        cut_short=tuple(run.id for run in (base, new) if run.status != "complete"),
        drift=drift,
    )


def _common(base: Run, new: Run, old: Collection[str], current: Collection[str]) -> list[str]:
    common = [name for name in current if name in old]
    if not common:
        raise UsageError(
            f"the runs have no deployment in common: {', '.join(old) or 'none'} in {base.id},"
            f" {', '.join(current) or 'none'} in {new.id}"
        )
    return common


def _drift(base: Run, new: Run, names: Collection[str], confidence: float) -> RatioEstimate | None:
    """Return how much longer the machine itself took: the canaries around the trials compared."""
    before, after = (
        [
            around.canary_before + around.canary_after
            for trial in run.trials
            if trial.valid and trial.deployment.name in names and (around := trial.surroundings)
            if around.canary_before is not None and around.canary_after is not None
        ]
        for run in (base, new)
    )
    return ratio(before, after, paired=False, confidence=confidence)


def _unless_drift(
    finding: Finding, drift: RatioEstimate | None, metric: Metric, threshold: float
) -> Finding:
    """Take an outcome back that a change of the machine's own speed explains, or hides.

    Two runs at two times do not show in their rounds how the machine differs between them. The
    ratio is set against the canary's, their errors added in squares: a difference stays if 1 is
    not within reach then, no difference if the threshold is not.
    """
    estimate = finding.estimate
    if drift is None or not drift.different or not metric.depends_on_speed or estimate is None:
        return finding
    if finding.outcome is Outcome.INCONCLUSIVE:
        return finding
    cost = -math.log(estimate.value) if metric.more_is_better else math.log(estimate.value)
    slowdown = math.log(drift.value)
    reach = math.hypot(_reach(estimate), _reach(drift))
    own = cost - slowdown
    if finding.outcome is Outcome.SAME:
        stays = abs(own) + reach <= math.log(1 + threshold)
    else:
        stays = abs(own) > reach and own * cost > 0
    if stays:
        if finding.regression and own <= math.log(1 + threshold):
            less = "by less than the threshold, as the machine itself was slower"
            return replace(finding, regression=False, reason=less)
        return finding
    how = "slower" if slowdown > 0 else "faster"
    reason = f"the machine itself was {how}: its canary took {drift.value:.3f} times as long"
    return Finding(Outcome.INCONCLUSIVE, reason, estimate)


def _reach(estimate: RatioEstimate) -> float:
    """Return half the width of an interval, as a logarithm."""
    return math.log(estimate.interval.high / estimate.interval.low) / 2


def _held_by_ceiling(base: Row, new: Row, metric: Metric) -> bool:
    """Say whether the ceiling set both rates: they are alike whatever server or machine do."""
    held = all(row.verdict is not None and row.verdict.by_arithmetic for row in (base, new))
    return held and metric.name == "rps"


def _noted(finding: Finding) -> Finding:
    note = "both at the ceiling, so this workload does not tell"
    return replace(finding, reason="; ".join(filter(None, (finding.reason, note))))


def _trials(run: Run, name: str) -> list[Trial]:
    return [trial for trial in run.trials if trial.deployment.name == name]
