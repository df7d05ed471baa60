"""What the charts with one line per deployment share."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt

from bench.analysis.summary import Row
from bench.report.chart_style import Look, Spec, config

LINE = 30
"""Pixels of a deployment's line in a chart: enough to touch, and to tell neighbours apart."""
BAR = 16

Datum = dict[str, str | float | None]
Layer = alt.Chart


@dataclass(frozen=True)
class Chart:
    """A chart, and what it says to those who do not see it."""

    id: str
    title: str
    caption: str
    """What its marks mean."""
    description: str
    spec: Spec


def finished(
    name: str,
    title: str,
    caption: str,
    description: str,
    layers: Sequence[Layer],
    look: Look,
    *,
    lines: int,
) -> Chart:
    """Return the layers as a chart, as wide as the look says; a picture carries its title."""
    chart = alt.layer(*layers).properties(width=look.width or "container", height=LINE * lines)
    spec: Spec = chart.to_dict()
    spec["config"] = config(look)
    spec["autosize"] = {"type": "pad" if look.width else "fit-x", "contains": "padding"}
    if look.width:
        spec["title"] = {"text": title, "subtitle": caption}
    return Chart(name, title, caption, description, spec)


def label(row: Row) -> str:
    """Return a deployment's name in a chart, with its rank: what is tied has the same number."""
    return row.deployment.name if row.rank is None else f"{row.rank}. {row.deployment.name}"


def per_deployment(data: Sequence[Datum], order: Sequence[str]) -> Layer:
    """Return a layer with one line per deployment, in this order."""
    return alt.Chart(alt.InlineData(values=list(data), name="rows")).encode(
        y=alt.Y("label:N", sort=list(order), title=None)
    )


def datum(row: Row) -> Datum:
    """Return what every datum holds: which deployment it is of, and how that is called."""
    return {"deployment": row.deployment.name, "label": label(row)}


def tooltip() -> list[alt.Tooltip]:
    """Return the words that a bar shows when it is pointed at."""
    return [alt.Tooltip("label:N", title="deployment"), alt.Tooltip("said:N", title=" ")]


def value_texts(base: Layer) -> Layer:
    """Return the figures as a column right of the chart, where nothing is drawn over them."""
    layer: Layer = base.mark_text(align="left", dx=10).encode(x=alt.value("width"), text="text:N")
    return layer
