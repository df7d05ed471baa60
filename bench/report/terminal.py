"""The terminal's report: Rich decides by itself that a pipe gets no colours."""

from collections.abc import Iterator
from typing import Literal

from rich.console import RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from bench.analysis.compare import Comparison
from bench.model import Run
from bench.report.comparison import COMPARISON_COLUMNS, TEXT_COLUMNS, remarks, title
from bench.report.grids import Grid
from bench.report.problems import failures
from bench.report.sections import sections
from bench.report.table import table_of


def run_report(run: Run) -> Iterator[RenderableType]:
    """Yield what to print of a run."""
    table = table_of(run)
    yield Text(table.title, style="bold")
    ranking = RichTable(header_style="bold", box=None, pad_edge=False)
    for column in table.columns:
        ranking.add_column(
            column.heading, justify="right" if column.right else "left", no_wrap=True
        )
    group = table.rows[0].deployment.group if table.rows else None
    for row in table.rows:
        if row.deployment.group != group:
            group = row.deployment.group
            ranking.add_section()
            ranking.add_row(
                *("" if c.right else f"{group}:" for c in table.columns[:2]), style="dim"
            )
        style = "" if row.valid_trials else "dim"
        ranking.add_row(*(column.cell(row) for column in table.columns), style=style)
    yield ranking
    yield ""
    for heading, section in sections(run).items():
        yield from grid(heading, section)
    for note in table.notes:
        yield Text(note, style="dim")
    for problem in table.problems:
        yield Text(problem, style="bold red")
    for failure in failures(run):
        if failure.end:
            yield Text(f"\n{failure.deployment}, the end of its failure:", style="bold")
            yield Text("\n".join(f"  {line}" for line in failure.end))


def grid(title: str, grid: Grid) -> Iterator[RenderableType]:
    """Yield what to print of a table."""
    yield Text(title, style="bold")
    shown = RichTable(header_style="bold", box=None, pad_edge=False)
    for heading in grid.headings:
        shown.add_column(heading.text, justify="right" if heading.number else "left", no_wrap=True)
    for line in grid.lines:
        shown.add_row(*(Text(cell.text) for cell in line.cells))  # a path may hold [markup]
    yield shown
    yield Text(grid.caption, style="dim")
    yield ""


def comparison_report(comparison: Comparison) -> Iterator[RenderableType]:
    """Yield what to print of a comparison."""
    for warning in comparison.differences:
        yield Text(f"not alike: {warning}", style="yellow")
    yield Text(title(comparison), style="bold")
    grid = RichTable(header_style="bold", box=None, pad_edge=False)
    for number, (heading, _) in enumerate(COMPARISON_COLUMNS):
        justify: Literal["left", "right"] = "left" if number < TEXT_COLUMNS else "right"
        grid.add_column(heading, justify=justify, no_wrap=True)
    for pair in comparison.pairs:
        grid.add_row(*(cell(pair) for _, cell in COMPARISON_COLUMNS))
    yield grid
    for remark in remarks(comparison):
        yield Text(remark, style="dim")
