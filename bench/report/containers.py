"""What a container costs, as one table for every kind of report."""

from bench.analysis.containers import COMPARED, ContainerCost, Ratio, container_costs
from bench.model import Run
from bench.report import figures
from bench.report.grids import Cell, Grid, Heading, Line

TITLE = "What the container costs"
EXPLANATION = (
    "In a container ÷ without one, paired by round, with the 99% interval: a published port's extra"
    " process (docker-proxy), the bridge network and the limits of the control group. Start: from"
    " the call until the first right answer, without → in a container."
)
ONE_ROUND = " 1 round: no uncertainty known."
HEADINGS = {
    "rps": "req/s",
    "p50": "p50",
    "p99": "p99",
    "cpu": "CPU per request",
    "memory": "memory",
}


def container_grid(run: Run) -> Grid | None:
    """Return the table; ``None`` where no deployment ran both with and without a container."""
    costs = container_costs(run)
    if not costs:
        return None
    few = ONE_ROUND if any(cost.rounds == 1 for cost in costs) else ""
    ratios = (Heading(HEADINGS[name]) for name in COMPARED)
    headings = (*ratios, Heading("docker-proxy ms/req"), Heading("start"))
    return Grid(
        "containers",
        EXPLANATION + few + _pythons(run),
        (Heading("deployment", number=False), *headings),
        tuple(map(_line, costs)),
    )


def _pythons(run: Run) -> str:
    """Say that the images have another Python, where they do: it has its part in the ratios."""
    inside = {v for name, v in run.machine.versions.items() if name.startswith("python in ")}
    if not inside or inside == {run.machine.python}:
        return ""
    return f" Python is {run.machine.python} outside and {', '.join(sorted(inside))} in the images."


def _line(cost: ContainerCost) -> Line:
    ratios = (_cell(cost.ratios.get(name)) for name in COMPARED)
    proxy = cost.proxy_cpu_per_request
    start = f"{figures.seconds(cost.start_without)} → {figures.seconds(cost.start_within)}"
    cells = (
        Cell(cost.deployment),
        *ratios,
        Cell(figures.milliseconds(proxy), proxy),
        Cell(start, cost.start_within),
    )
    return Line(cost.deployment, cells)


def _cell(ratio: Ratio | None) -> Cell:
    if ratio is None:
        return Cell(figures.UNKNOWN)
    span = ratio.estimate.interval if ratio.estimate else None
    interval = f" ({span.low:.2f} to {span.high:.2f})" if span else ""
    return Cell(f"{ratio.value:.2f}×{interval}", ratio.value)
