"""What a container costs, as one table for every kind of report."""

from bench.analysis.containers import ContainerCost, container_costs
from bench.analysis.side_by_side import COMPARED
from bench.model import Run
from bench.report import figures
from bench.report.grids import Cell, Grid, Heading, Line
from bench.report.side_by_side import ONE_ROUND, RATIO_HEADINGS, ratio_cell

TITLE = "What the container costs"
EXPLANATION = (
    "In a container ÷ without one, paired by round, with the 99% interval: a published port's extra"
    " process (docker-proxy), the bridge network and the limits of the control group. Start: from"
    " the call until the first right answer, without → in a container."
)


def container_grid(run: Run) -> Grid | None:
    """Return the table; ``None`` where no deployment ran both with and without a container."""
    costs = container_costs(run)
    if not costs:
        return None
    few = ONE_ROUND if any(cost.rounds == 1 for cost in costs) else ""
    headings = (*RATIO_HEADINGS, Heading("docker-proxy ms/req"), Heading("start"))
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
    ratios = (ratio_cell(cost.ratios.get(name)) for name in COMPARED)
    proxy = cost.proxy_cpu_per_request
    start = f"{figures.seconds(cost.start_without)} → {figures.seconds(cost.start_within)}"
    cells = (
        Cell(cost.deployment),
        *ratios,
        Cell(figures.milliseconds(proxy), proxy),
        Cell(start, cost.start_within),
    )
    return Line(cost.deployment, cells)
