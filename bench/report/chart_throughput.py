"""How much each deployment answered: alone, and against what arithmetic allows."""

from collections.abc import Sequence

import altair as alt

from bench.analysis.bottleneck.queues import AT_CEILING
from bench.analysis.summary import Row
from bench.model import Run
from bench.report import figures
from bench.report.chart_parts import (
    BAR,
    Chart,
    Datum,
    Layer,
    datum,
    finished,
    label,
    per_deployment,
    tooltip,
    value_texts,
)
from bench.report.chart_style import Look

INTERVAL_ROOM = 1.5
"""An interval may reach so far beyond everything that was measured; then the chart ends."""


def ranking(run: Run, rows: Sequence[Row], look: Look) -> Chart | None:
    """Return the chart of valid responses per second: median, interval, every trial, ceiling."""
    if not rows:
        return None
    base = per_deployment([_ranked(row) for row in rows], [label(row) for row in rows])
    x = alt.X(
        "rate:Q",
        title="valid responses per second",
        scale=alt.Scale(domain=[0, _widest(run, rows)], nice=False),
        axis=alt.Axis(tickCount=6, format=",~f"),
    )
    layers = [
        base.mark_bar(color=look.soft, height=BAR).encode(x=x, tooltip=tooltip()),
        *_ceilings(base, look, known=any(row.ceiling for row in rows)),
        _trials(run, rows, look),
        *_intervals(base, look, known=any(row.interval for row in rows)),
        value_texts(base),
    ]
    marks = ["bar: median", "circle: a trial"]
    marks += ["line: interval of the median"] if any(row.interval for row in rows) else []
    marks += (
        ["orange stroke: the most that arithmetic allows"]
        if any(row.ceiling for row in rows)
        else []
    )
    top = rows[0]
    return finished(
        "ranking",
        f"Throughput ({run.workload.name})",
        ", ".join(marks),
        f"Bar chart of the valid responses per second of {len(rows)} deployment(s);"
        f" {top.deployment.name} is at the top with {figures.rate(top.requests_per_second)}.",
        layers,
        look,
        lines=len(rows),
    )


def ceiling(rows: Sequence[Row], look: Look) -> Chart | None:
    """Return the chart of the part of the ceiling that each deployment reached."""
    limits = [(row, row.ceiling, row.of_ceiling or 0.0) for row in rows if row.ceiling]
    if not limits:
        return None
    data: list[Datum] = [
        datum(row)
        | {
            "share": share,
            "text": figures.percent(share),
            "said": f"{figures.percent(share)} of {figures.rate(limit.requests_per_second)} req/s",
        }
        for row, limit, share in limits
    ]
    base = per_deployment(data, [label(row) for row, _, _ in limits])
    x = alt.X(
        "share:Q",
        title="part of what arithmetic allows",
        axis=alt.Axis(format=".0%", tickCount=5),
        scale=alt.Scale(domainMin=0, domainMax=max(1.02, *(share for _, _, share in limits))),
    )
    line = alt.Chart(alt.InlineData(values=[{"from": AT_CEILING, "whole": 1}]))
    layers = [
        base.mark_bar(color=look.soft, height=BAR).encode(x=x, tooltip=tooltip()),
        line.mark_rule(color=look.limit, size=2).encode(x="whole:Q"),
        line.mark_rule(color=look.limit, size=1.5, strokeDash=[4, 4]).encode(x="from:Q"),
        value_texts(base),
    ]
    reached = sum(share >= AT_CEILING for _, _, share in limits)
    return finished(
        "ceiling",
        "Throughput against the ceiling",
        f"dashed: {AT_CEILING:.0%}, from where on the workload and not the server sets the figure",
        f"Bar chart of the part of the ceiling that was reached: {reached} of {len(limits)}"
        f" deployment(s) at {AT_CEILING:.0%} or more.",
        layers,
        look,
        lines=len(limits),
    )


def _widest(run: Run, rows: Sequence[Row]) -> float:
    """Return where the axis ends: an interval of two trials can be wide beyond all measure."""
    rates = [t.measurement.requests_per_second for t in run.trials if t.valid and t.measurement]
    limits = [row.ceiling.requests_per_second for row in rows if row.ceiling]
    intervals = [row.interval.high for row in rows if row.interval]
    most = max(*rates, *limits, 0.0)
    return 1.05 * max(most, min(INTERVAL_ROOM * most, max(intervals, default=0.0)))


def _ranked(row: Row) -> Datum:
    interval, limit = row.interval, row.ceiling
    between = (
        f", interval {figures.rate(interval.low)} – {figures.rate(interval.high)}"
        if interval
        else ""
    )
    text = figures.rate(row.requests_per_second)
    return datum(row) | {
        "rate": row.requests_per_second,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "text": text,
        "said": f"{text} req/s{between}",
        "ceiling": limit.requests_per_second if limit else None,
        "ceiling_said": figures.rate(limit.requests_per_second) if limit else None,
    }


def _trials(run: Run, rows: Sequence[Row], look: Look) -> Layer:
    labels = {row.deployment.name: label(row) for row in rows}
    data: list[Datum] = [
        {
            "deployment": t.deployment.name,
            "label": labels[t.deployment.name],
            "rate": t.measurement.requests_per_second,
            "said": f"round {t.round}: {figures.rate(t.measurement.requests_per_second)} req/s",
        }
        for t in run.trials
        if t.valid and t.measurement
    ]
    points: Layer = (
        alt.Chart(alt.InlineData(values=data, name="trials"))
        .mark_point(color=look.accent, size=34, strokeWidth=1.5, filled=False, opacity=1)
        .encode(
            x="rate:Q",
            y=alt.Y("label:N", sort=list(labels.values()), title=None),
            tooltip=tooltip(),
        )
    )
    return points


def _ceilings(base: Layer, look: Look, *, known: bool) -> list[Layer]:
    strokes = base.transform_filter("datum.ceiling != null").mark_tick(
        color=look.limit, size=24, thickness=2, opacity=1
    )
    said = alt.Tooltip("ceiling_said:N", title="ceiling")
    return [strokes.encode(x="ceiling:Q", tooltip=said)] if known else []


def _intervals(base: Layer, look: Look, *, known: bool) -> list[Layer]:
    if not known:
        return []
    layer = base.transform_filter("datum.low != null")
    ends = [
        layer.mark_tick(color=look.ink, size=12, thickness=2, opacity=1, clip=True).encode(
            x=f"{end}:Q"
        )
        for end in ("low", "high")
    ]
    return [
        layer.mark_rule(color=look.ink, size=2, clip=True).encode(x="low:Q", x2="high:Q"),
        *ends,
    ]
