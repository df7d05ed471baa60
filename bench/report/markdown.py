"""The Markdown report, and the way into a document that holds it between two marks."""

from collections.abc import Iterable

from bench.errors import UsageError
from bench.model import Run
from bench.report.table import table_of

BEGIN = "<!-- results: begin -->"
END = "<!-- results: end -->"


def run_report(run: Run) -> str:
    """Return a run's report as Markdown."""
    table = table_of(run)
    lines = [f"**{_escaped(table.title)}**", ""]
    lines.append(_line(column.heading for column in table.columns))
    lines.append(_line("---:" if column.right else ":---" for column in table.columns))
    lines += [_line(column.cell(row) for column in table.columns) for row in table.rows]
    lines.append("")
    lines += [f"- {_escaped(note)}" for note in table.notes]
    lines += [f"- **{_escaped(problem)}**" for problem in table.problems]
    return "\n".join(lines) + "\n"


def insert(report: str, document: str) -> str:
    """Return the document with the report between its marks.

    Raises:
        UsageError: the marks are not there.

    """
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise UsageError(f"the document has no lines {BEGIN} and {END} to put the report between")
    return f"{head}{begin}\n{report}{end}{tail}"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _escaped(text: str) -> str:
    """Keep foreign text from becoming markup: of a table, of HTML or of Markdown itself."""
    for character in "\\`*_[]|":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").split())
