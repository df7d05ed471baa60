"""What it took: response times, CPU and memory."""

from collections.abc import Sequence

import altair as alt

from bench.analysis.summary import Row
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
from bench.report.percentiles import NAMES, Percentiles

WIDE_RANGE = 30
"""From this ratio on, response times need a logarithmic axis for the small ones to be seen."""
IN_SECONDS = 2.0
"""From this response time on, the axis counts seconds and not milliseconds."""
SHAPES = ("circle", "square", "triangle-up", "diamond", "M-.12,-1.2h.24v2.4h-.24z")
"""One per percentile, the last an upright stroke. They have to be told apart without colour."""


def latency(times: Sequence[Percentiles], look: Look) -> Chart | None:
    """Return the chart of response times, a shape for each percentile."""
    times = [t for t in times if t.seconds]
    if not times:
        return None
    slowest = max(max(t.seconds.values()) for t in times)
    fastest = min(min(t.seconds.values()) for t in times)
    in_seconds = slowest >= IN_SECONDS
    wide = fastest > 0 and slowest / fastest > WIDE_RANGE
    data: list[Datum] = [
        {
            "deployment": t.deployment,
            "label": t.deployment,
            "percentile": name,
            "time": seconds * (1 if in_seconds else 1000),
            "said": f"{name}: {figures.seconds(seconds)}",
        }
        for t in times
        for name, seconds in t.seconds.items()
    ]
    x = alt.X(
        "time:Q",
        title=f"response time in {'s' if in_seconds else 'ms'}" + (" (logarithmic)" * wide),
        scale=alt.Scale(type="log", nice=False, padding=12) if wide else alt.Scale(zero=True),
        axis=alt.Axis(format=",~f", labelOverlap=True, tickCount=6),
    )
    return finished(
        "latency",
        "Response time by percentile",
        "under closed-loop load, valid responses only",
        f"Chart of the response times of {len(times)} deployment(s) at several percentiles.",
        _percentiles(times, per_deployment(data, [t.deployment for t in times]), x, look),
        look,
        lines=len(times),
    )


def _percentiles(times: Sequence[Percentiles], base: Layer, x: alt.X, look: Look) -> list[Layer]:
    names = [name for name in NAMES if any(name in t.seconds for t in times)]
    shape = alt.Shape(
        "percentile:N",
        title=None,
        sort=names,
        scale=alt.Scale(domain=names, range=[SHAPES[NAMES.index(name)] for name in names]),
        legend=alt.Legend(
            columns=alt.ExprRef("width < 320 ? 3 : 5"),  # on a phone in two lines
            symbolFillColor=look.accent,
            symbolStrokeColor=look.accent,
            symbolStrokeWidth=2,
        ),
    )
    return [
        base.mark_line(color=look.soft, size=6, strokeCap="round").encode(x=x, detail="label:N"),
        base.mark_point(
            fill=look.accent, stroke=look.accent, strokeWidth=2, size=60, opacity=1
        ).encode(x=x, shape=shape, tooltip=tooltip()),
    ]


def cpu(rows: Sequence[Row], look: Look) -> Chart | None:
    """Return the chart of the CPU that a request takes, server and nginx together."""
    values = [
        (row, row.cpu_per_request * 1000, figures.milliseconds(row.cpu_per_request))
        for row in rows
        if row.cpu_per_request is not None
    ]
    return _bars("cpu", "CPU per request", "ms per request, user and system", values, look)


def memory(rows: Sequence[Row], look: Look) -> Chart | None:
    """Return the chart of the memory at the peak, server and nginx together."""
    values = [
        (row, row.memory_bytes / 1024**2, figures.size(row.memory_bytes))
        for row in rows
        if row.memory_bytes is not None
    ]
    return _bars("memory", "Memory at the peak", "MiB, shared pages counted once", values, look)


def _bars(
    name: str, title: str, unit: str, values: Sequence[tuple[Row, float, str]], look: Look
) -> Chart | None:
    if not values:
        return None
    data: list[Datum] = [
        datum(row) | {"value": value, "text": text, "said": text} for row, value, text in values
    ]
    base = per_deployment(data, [label(row) for row, _, _ in values])
    x = alt.X("value:Q", title=unit, axis=alt.Axis(tickCount=5), scale=alt.Scale(zero=True))
    bars = base.mark_bar(color=look.soft, height=BAR).encode(x=x, tooltip=tooltip())
    least, _, text = min(values, key=lambda entry: entry[1])
    return finished(
        name,
        title,
        "the deployment itself: server and nginx",
        f"Bar chart, {title} of {len(values)} deployment(s): {least.deployment.name} takes least,"
        f" {text}.",
        [bars, value_texts(base)],
        look,
        lines=len(values),
    )
