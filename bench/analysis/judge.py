"""What two samples of trials say of each other: the words, the metrics and the rule.

The outcome follows from the interval of the ratio alone (`stats.ratio`):

- *faster* or *slower* (for costs: less or more): the interval excludes 1;
- *no difference*: it includes 1 and lies within ±threshold, so that a difference, if there is one,
  is too small to matter (two one-sided tests; Schuirmann 1987);
- *inconclusive*: neither, or the figures cannot be compared at all; the reason says which.

A *regression* is slower (or costlier), and by more than the threshold as estimated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from bench.analysis.stats import DECISION_CONFIDENCE, RatioEstimate, ratio
from bench.analysis.summary import cpu_per_request, latency, memory, rate
from bench.errors import UsageError
from bench.model import Trial

DEFAULT_THRESHOLD = 0.05
"""A twentieth: about the least that trials on an ordinary machine can show (calibration)."""
FAMILY_ERROR = 0.05
"""Chance of any false difference in a comparison of many deployments (Bonferroni's bound)."""
MILLISECOND = 0.001


class Outcome(StrEnum):
    """What a comparison says of one deployment."""

    FASTER = "faster"
    SLOWER = "slower"
    SAME = "no difference"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Metric:
    """A figure of a trial that can be compared."""

    name: str
    title: str
    figure: Callable[[Trial], float | None]
    more_is_better: bool = False
    depends_on_speed: bool = True
    """Whether a faster machine changes it."""
    resolution: float = 0.0
    """The step in which it is measured: less than two of them apart is no difference."""


def _p50(trial: Trial) -> float | None:
    return times.p50 if (times := latency(trial)) else None


def _p99(trial: Trial) -> float | None:
    return times.p99 if (times := latency(trial)) else None


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("rps", "requests per second", rate, more_is_better=True),
        Metric("p50", "median response time", _p50, resolution=MILLISECOND),
        Metric("p99", "99th percentile of response times", _p99, resolution=MILLISECOND),
        Metric("cpu", "CPU time per request", cpu_per_request),
        Metric("memory", "memory at its peak", memory, depends_on_speed=False),
    )
}


@dataclass(frozen=True)
class Finding:
    """What two samples of one metric say of each other."""

    outcome: Outcome
    reason: str
    """Why it is inconclusive, or what to know of the outcome; may be empty."""
    estimate: RatioEstimate | None = None
    """New ÷ base of the metric itself; ``None``: the figures allow none."""
    regression: bool = False


def metric_of(name: str) -> Metric:
    """Return the metric of this name; UsageError lists the known ones."""
    if name not in METRICS:
        raise UsageError(f"no metric is called {name!r}. Known: {', '.join(METRICS)}")
    return METRICS[name]


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
    step = abs(median(after) - median(before))
    if estimate.different and step < 2 * metric.resolution:
        reason = f"less than two steps of {metric.resolution * 1000:g} ms apart, as it is measured"
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
