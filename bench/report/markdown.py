"""The Markdown report, and the way into a document that holds it between two marks."""

from bench.errors import UsageError
from bench.model import Run
from bench.report.markup import escaped, line, rule
from bench.report.table import table_of

BEGIN = "<!-- results: begin -->"
END = "<!-- results: end -->"


def run_report(run: Run) -> str:
    """Return a run's report as Markdown."""
    table = table_of(run)
    lines = [f"**{escaped(table.title)}**", ""]
    lines.append(line(column.heading for column in table.columns))
    lines.append(rule(column.right for column in table.columns))
    lines += [line(column.cell(row) for column in table.columns) for row in table.rows]
    lines.append("")
    lines += [f"- {escaped(note)}" for note in table.notes]
    lines += [f"- **{escaped(problem)}**" for problem in table.problems]
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
