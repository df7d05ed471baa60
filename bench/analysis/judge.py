"""What two samples of trials say of each other: the words, the metrics and the rule.

The outcome follows from the interval of the ratio alone (`stats.ratio`):

- *faster* or *slower* (for costs: less or more): the interval excludes 1;
- *no difference*: it includes 1 and lies within ±threshold, so that a difference, if there is one,
  is too small to matter (two one-sided tests; Schuirmann 1987);
- *inconclusive*: neither, or the figures cannot be compared at all; the reason says which.

A *regression* is slower (or costlier), and by more than the threshold as estimated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from bench.analysis.metrics import DEFAULT_THRESHOLD, Metric
from bench.analysis.stats import DECISION_CONFIDENCE, RatioEstimate, ratio
from bench.model import Trial

FAMILY_ERROR = 0.05
"""Chance of any false difference in a comparison of many deployments (Bonferroni's bound)."""


class Outcome(StrEnum):
    """What a comparison says of one deployment."""

    FASTER = "faster"
    SLOWER = "slower"
    SAME = "no difference"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Finding:
    """What two samples of one metric say of each other."""

    outcome: Outcome
    reason: str
    """Why it is inconclusive, or what to know of the outcome; may be empty."""
    estimate: RatioEstimate | None = None
    """New ÷ base of the metric itself; ``None``: the figures allow none."""
    regression: bool = False


def confidence_of(comparisons: int) -> float:
    """Return the confidence of each of so many intervals that decide together."""
    return max(DECISION_CONFIDENCE, 1 - FAMILY_ERROR / max(1, comparisons))


def judge(
    base: Sequence[Trial],
    new: Sequence[Trial],
    metric: Metric,
    *,
    paired: bool = False,
    threshold: float = DEFAULT_THRESHOLD,
    confidence: float = DECISION_CONFIDENCE,
) -> Finding:
    """Say what two samples of trials say of each other; a number out of nothing is never given.

    Args:
        base: trials of one thing, all of them, invalid ones included.
        new: of the other; if paired, both from one interleaved run and in the order of its rounds.
        metric: what to compare.
        paired: whether trials of the same place were measured in the same round.
        threshold: the ratio that matters, as a part of 1.
        confidence: of the interval that decides.

    """
    for side, trials in (("BASE", base), ("NEW", new)):
        if problem := _unusable(trials, metric):
            return Finding(Outcome.INCONCLUSIVE, f"{side}: {problem}")
    before = [value for t in base if (value := metric.figure(t)) is not None]
    after = [value for t in new if (value := metric.figure(t)) is not None]
    if paired and len(before) != len(after):
        return Finding(Outcome.INCONCLUSIVE, "the rounds do not match")
    estimate = ratio(before, after, paired=paired, confidence=confidence)
    if estimate is None:
        return Finding(Outcome.INCONCLUSIVE, "a figure is zero, which has no ratio")
    step = metric.step([*base, *new])
    if estimate.different and abs(median(after) - median(before)) < 2 * step:
        reason = f"less than two steps of {step * 1000:g} ms apart, as it is measured"
        return Finding(Outcome.INCONCLUSIVE, reason, estimate)
    if not estimate.different and step > threshold * median(before):
        reason = (
            f"measured in steps of {step * 1000:g} ms, of which one is more than the threshold"
            f" of {threshold:.0%}"
        )
        return Finding(Outcome.INCONCLUSIVE, reason, estimate)
    return decide(estimate, threshold, more_is_better=metric.more_is_better)


def decide(estimate: RatioEstimate, threshold: float, *, more_is_better: bool) -> Finding:
    """Return the outcome of a ratio new ÷ base, as this module's docstring defines it."""
    least, most = 1 / (1 + threshold), 1 + threshold
    span = estimate.interval
    if not estimate.different:
        if span.within(least, most):
            return Finding(Outcome.SAME, "", estimate)
        seen = f"only an effect of {estimate.smallest_visible:.0%} or more would have been seen"
        return Finding(Outcome.INCONCLUSIVE, seen, estimate)
    gain = estimate.value if more_is_better else 1 / estimate.value
    if gain > 1:
        return Finding(Outcome.FASTER, "", estimate)
    regression = gain < least
    reason = "" if regression else "by less than the threshold"
    return Finding(Outcome.SLOWER, reason, estimate, regression)


def _unusable(trials: Sequence[Trial], metric: Metric) -> str | None:
    """Return why trials say nothing of a metric; the rest of a partly failed sample is biased."""
    invalid = [trial for trial in trials if not trial.valid]
    if invalid:
        why = (invalid[0].failure or "no measurement").splitlines()[0]
        return f"{len(invalid)} of {len(trials)} trials invalid: {why}"
    if any(metric.figure(trial) is None for trial in trials):
        return f"{metric.title} not known of every trial"
    if len(trials) == 1:
        return "1 round: no uncertainty known"
    return None if trials else "no trial"
