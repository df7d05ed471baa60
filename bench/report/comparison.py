"""Two runs side by side: plain cells, and the same as Markdown and as JSON."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from bench.analysis.compare import Comparison, Pair
from bench.analysis.judge import Finding, Outcome
from bench.analysis.metrics import Metric
from bench.report import figures
from bench.report.markup import escaped, line, rule

Cell = Callable[[Pair], str]

COSTS = {Outcome.FASTER: "costs less", Outcome.SLOWER: "costs more"}
"""What faster and slower are called where the metric is no speed."""


def _sides(figure: Callable[[float | None], str], name: str) -> Cell:
    """Show base → new."""

    def cell(pair: Pair) -> str:
        return f"{figure(getattr(pair.base, name))} → {figure(getattr(pair.new, name))}"

    return cell


def outcome_text(finding: Finding, metric: Metric) -> str:
    """Return the outcome in the metric's own words."""
    speed = metric.name in {"rps", "p50", "p99"}
    text = str(finding.outcome) if speed else COSTS.get(finding.outcome, str(finding.outcome))
    return f"{text} (regression)" if finding.regression else text


def _ratio(pair: Pair) -> str:
    estimate = pair.finding.estimate
    if estimate is None:
        return figures.UNKNOWN
    span = estimate.interval
    return f"{estimate.value:.3f}× ({span.low:.3f} to {span.high:.3f})"


def _visible(pair: Pair) -> str:
    estimate = pair.finding.estimate
    return f"{estimate.smallest_visible:.1%}" if estimate else figures.UNKNOWN


COMPARISON_COLUMNS: tuple[tuple[str, Cell], ...] = (
    ("deployment", lambda pair: pair.new.deployment.name),
    ("outcome", lambda pair: outcome_text(pair.finding, pair.metric)),
    ("new ÷ base", _ratio),
    ("visible from", _visible),
    ("req/s", _sides(figures.rate, "requests_per_second")),
    ("p50", _sides(figures.seconds, "p50")),
    ("p99", _sides(figures.seconds, "p99")),
    ("CPU ms/req", _sides(figures.milliseconds, "cpu_per_request")),
    ("memory", _sides(figures.size, "memory_bytes")),
)
TEXT_COLUMNS = 2
"""The first columns, which hold words; the others hold figures."""


def title(comparison: Comparison) -> str:
    """Return what is compared by what."""
    return f"{comparison.metric.title}: {comparison.base} → {comparison.new}"


def remarks(comparison: Comparison) -> Iterator[str]:
    """Yield what stands below the cells: reasons, changes, and how the words are meant."""
    for pair in comparison.pairs:
        if pair.finding.reason:
            said = outcome_text(pair.finding, comparison.metric)
            yield f"{pair.new.deployment.name}: {said}: {pair.finding.reason}"
    for run in comparison.cut_short:
        yield f"{run} was cut short: what it has is compared"
    for change in comparison.changes:
        yield f"changed: {change}"
    if comparison.drift:
        span = comparison.drift.interval
        yield (
            f"the machine itself took {comparison.drift.value:.3f}× as long for the same computing"
            f" ({span.low:.3f} to {span.high:.3f})"
        )
    for side, names in (
        (comparison.base, comparison.only_in_base),
        (comparison.new, comparison.only_in_new),
    ):
        for name in names:
            why = comparison.left_out.get(name)
            yield f"{name}: only in {side}" + (f", left out of the other: {why}" if why else "")
    yield (
        f"intervals at {comparison.confidence:.1%}; no difference: the interval lies within"
        f" ±{comparison.threshold:.0%}; a regression is worse by more than that; visible from:"
        " what these rounds would have shown four times out of five"
    )


def as_markdown(comparison: Comparison) -> str:
    """Return the comparison as Markdown, for the summary of a CI job."""
    lines = [f"**{escaped(title(comparison))}**", ""]
    lines += [f"- **not alike: {escaped(each)}**" for each in comparison.differences]
    lines += [""] if comparison.differences else []
    lines.append(line(heading for heading, _ in COMPARISON_COLUMNS))
    lines.append(rule(number >= TEXT_COLUMNS for number in range(len(COMPARISON_COLUMNS))))
    lines += [line(cell(pair) for _, cell in COMPARISON_COLUMNS) for pair in comparison.pairs]
    lines += ["", *(f"- {escaped(remark)}" for remark in remarks(comparison))]
    return "\n".join(lines) + "\n"


def as_json(comparison: Comparison) -> str:
    """Return the comparison for other programs; a figure that is not known is null."""
    return json.dumps(
        {
            "base": comparison.base,
            "new": comparison.new,
            "metric": comparison.metric.name,
            "threshold": comparison.threshold,
            "confidence": comparison.confidence,
            "exit_code": int(comparison.exit_code),
            "deployments": {p.new.deployment.name: _finding(p) for p in comparison.pairs},
            "only_in_base": comparison.only_in_base,
            "only_in_new": comparison.only_in_new,
            "differences": comparison.differences,
            "changes": comparison.changes,
            "machine_ratio": comparison.drift.value if comparison.drift else None,
        },
        indent=1,
    )


def _finding(pair: Pair) -> dict[str, Any]:
    found = pair.finding
    estimate = found.estimate
    return {
        "outcome": found.outcome,
        "regression": found.regression,
        "reason": found.reason or None,
        "ratio": estimate.value if estimate else None,
        "interval": [estimate.interval.low, estimate.interval.high] if estimate else None,
        "smallest_visible_effect": estimate.smallest_visible if estimate else None,
        "rounds": [pair.base.valid_trials, pair.new.valid_trials],
    }
