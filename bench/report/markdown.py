"""The Markdown report, and the way into a document that holds it between two marks."""

from itertools import groupby

from bench.errors import UsageError
from bench.model import Run
from bench.report.grids import Grid
from bench.report.markup import escaped, line, rule
from bench.report.sections import sections
from bench.report.table import table_of


def marks(name: str) -> tuple[str, str]:
    """Return the lines between which a document holds the report of this name."""
    return f"<!-- results of {name}: begin -->", f"<!-- results of {name}: end -->"


def run_report(run: Run, *, brief: bool = False) -> str:
    """Return a run's report as Markdown; ``brief``: without the verdicts, which it keeps."""
    table = table_of(run, brief=brief)
    lines = [f"**{escaped(table.title)}**", ""]
    for group, rows in groupby(table.rows, lambda row: row.deployment.group):
        if group:
            lines += [f"{escaped(group)}, for comparison:", ""]
        lines.append(line(column.heading for column in table.columns))
        lines.append(rule(column.right for column in table.columns))
        lines += [line(column.cell(row) for column in table.columns) for row in rows]
        lines.append("")
    for title, section in sections(run).items():
        lines += grid(title, section)
    lines += [f"- {escaped(note)}" for note in table.notes]
    lines += [f"- **{escaped(problem)}**" for problem in table.problems]
    return "\n".join(lines) + "\n"


def grid(title: str, grid: Grid) -> list[str]:
    """Return a table's lines."""
    return [
        f"**{escaped(title)}**",
        "",
        line(heading.text for heading in grid.headings),
        rule(heading.number for heading in grid.headings),
        *(line(cell.text for cell in row.cells) for row in grid.lines),
        "",
        escaped(grid.caption),
        "",
    ]


def insert(report: str, document: str, name: str) -> str:
    """Return the document with the report between the marks of this name.

    Raises:
        UsageError: the marks are not there.

    """
    first, last = marks(name)
    head, begin, rest = document.partition(first)
    _, end, tail = rest.partition(last)
    if not begin or not end:
        raise UsageError(f"the document has no lines {first} and {last} to put the report between")
    return f"{head}{begin}\n{report}{end}{tail}"
