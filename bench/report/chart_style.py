"""How the charts look: in the page, which brings its own colours, and alone, as a picture."""

from dataclasses import dataclass
from typing import Any

from bench.report.timeline import ROLES

Spec = dict[str, Any]
"""A chart as Vega-Lite reads it."""

DASHES = ([1, 0], [7, 3], [9, 2, 2, 2, 2, 2], [2, 2], [8, 3, 2, 3], [5, 2, 1, 2], [1, 4])
"""The dash of each role's line: colour is never the only difference."""


@dataclass(frozen=True)
class Look:
    """Colours and sizes. The page's are CSS variables, so its light and dark need no new chart."""

    ink: str
    muted: str
    grid: str
    accent: str
    soft: str
    """The accent, as the filling of a bar."""
    limit: str
    """What cannot be exceeded."""
    paper: str | None
    """``None``: whatever the chart stands on."""
    font: str
    width: int | None
    """Pixels; ``None``: as wide as its place in the page."""
    roles: tuple[str, ...]


def _variable(name: str) -> str:
    return f"var(--{name})"


PAGE = Look(
    ink=_variable("ink"),
    muted=_variable("muted"),
    grid=_variable("line"),
    accent=_variable("accent"),
    soft=_variable("soft"),
    limit=_variable("limit"),
    paper=None,
    font="system-ui, sans-serif",
    width=None,
    roles=tuple(_variable(f"role-{role}") for role in ROLES),
)
# A picture in a README stands on white or on black, nobody knows: so it brings its own paper.
PICTURE = Look(
    ink="#1c2328",
    muted="#57636c",
    grid="#e4e7e8",
    accent="#0d6478",
    soft="#b9d8df",
    limit="#a14f07",
    paper="#ffffff",
    font="Helvetica, Arial, sans-serif",
    width=620,
    roles=("#0d6478", "#a14f07", "#7d5b00", "#6a4fb3", "#2f7331", "#9c2f6b", "#57636c"),
)


def config(look: Look) -> dict[str, Any]:
    """Return the Vega-Lite configuration that all charts share."""
    label = {"labelColor": look.ink, "labelFont": look.font, "labelFontSize": 12}
    title = {
        "titleColor": look.muted,
        "titleFont": look.font,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    }
    return {
        "background": look.paper or "transparent",
        "font": look.font,
        "view": {"stroke": None},
        "axis": {**label, **title, "domainColor": look.muted, "tickColor": look.muted}
        | {"gridColor": look.grid, "labelLimit": 210, "labelPadding": 6},
        "axisY": {"domain": False, "ticks": False},
        "legend": {**label, **title, "orient": "top", "symbolSize": 70, "columnPadding": 14},
        "title": {"color": look.ink, "font": look.font, "fontSize": 15, "anchor": "start"}
        | {"subtitleColor": look.muted, "subtitleFont": look.font, "offset": 12},
        "text": {"color": look.ink, "font": look.font, "fontSize": 12},
    }
