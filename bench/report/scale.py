"""How costs grow with concurrency: a table, and a chart of its own as a picture."""

from collections.abc import Sequence

import altair as alt
import vl_convert

from bench.analysis.scale import Point
from bench.model import Run
from bench.report import figures
from bench.report.chart_style import PICTURE, Look, Spec, config
from bench.report.grids import Cell, Grid, Heading, Line

KIB = 1024
HEIGHT = 150
HEADINGS = (
    Heading("deployment", number=False),
    *map(
        Heading,
        (
            "requests at once", "rounds", "slots", "req/s", "of ceiling", "CPU ms/req", "memory",
            "KiB per request at once", "start", "refused by the kernel",
        ),
    ),
)  # fmt: skip
CHARTED = (
    ("cpu", "CPU ms per request"),
    ("memory", "memory in MiB, all processes"),
    ("each", "KiB of memory per request at once"),
)


def scale_grid(runs: Sequence[Run], points: Sequence[Point]) -> Grid:
    """Return the table."""
    workload, machine = runs[0].workload, runs[0].machine
    caption = (
        f"{workload.url_path()}, medians; {machine.cores} × {machine.cpu}, Linux {machine.kernel},"
        f" Python {machine.python}; runs {', '.join(run.id for run in runs)}"
    )
    return Grid("scale", caption, HEADINGS, tuple(map(_line, points)))


def _line(point: Point) -> Line:
    each = point.memory_per_request
    cells = (
        Cell(point.deployment),
        Cell(figures.count(point.concurrency), point.concurrency),
        Cell(figures.count(point.rounds), point.rounds),
        Cell(figures.count(point.slots), point.slots),
        Cell(figures.rate(point.requests_per_second), point.requests_per_second),
        Cell(figures.percent(point.of_ceiling), point.of_ceiling),
        Cell(figures.milliseconds(point.cpu_per_request), point.cpu_per_request),
        Cell(figures.size(point.memory_bytes), point.memory_bytes),
        Cell(figures.count(each / KIB if each else None), each),
        Cell(figures.seconds(point.start), point.start),
        Cell(figures.count(point.drops), point.drops),
    )
    return Line(point.deployment, cells)


def chart_svg(points: Sequence[Point]) -> str:
    """Return the curves, one above the other, as SVG."""
    return str(vl_convert.vegalite_to_svg(_spec(points, PICTURE)))


def _spec(points: Sequence[Point], look: Look) -> Spec:
    data = [
        {
            "deployment": point.deployment,
            "concurrency": point.concurrency,
            "cpu": point.cpu_per_request and point.cpu_per_request * 1000,
            "memory": point.memory_bytes and point.memory_bytes / KIB**2,
            "each": point.memory_per_request and point.memory_per_request / KIB,
        }
        for point in points
    ]
    base = alt.Chart(alt.InlineData(values=data)).encode(
        x=alt.X("concurrency:Q", title="requests at once", scale=alt.Scale(type="log"))
    )
    several = len({point.deployment for point in points}) > 1
    curves = [
        base.mark_line(point=True, color=look.accent)
        .encode(
            y=alt.Y(f"{name}:Q", title=None, scale=alt.Scale(zero=True)),
            **({"strokeDash": alt.StrokeDash("deployment:N", title=None)} if several else {}),
        )
        .properties(width=look.width, height=HEIGHT, title=title)
        for name, title in CHARTED
    ]
    spec: Spec = alt.vconcat(*curves).to_dict()
    spec["config"] = config(look)
    return spec
