"""``flask-bench report``: a run again, in the terminal, as Markdown and as a page."""

from pathlib import Path

import click

from bench.cli.consoles import print_run, say, write
from bench.report import charts, html, markdown
from bench.store import LATEST, load_run

MARKDOWN_FILE = "report.md"
PAGE_FILE = "report.html"
CHARTS_FOLDER = "charts"


@click.command()
@click.argument(
    "run", type=click.Path(path_type=Path), envvar="RUN", default=Path("results", LATEST)
)
@click.option(
    "--into",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Put the Markdown between the marks of this document, too.",
)
@click.option("--mark", help="The name that those marks have.  [default: the workload's]")
@click.option("--brief", is_flag=True, help="Leave the verdicts out of that document.")
@click.option("--charts", "with_charts", is_flag=True, help="Write the charts as SVG and PNG, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON instead.")
def report(
    run: Path,
    into: Path | None,
    *,
    mark: str | None,
    brief: bool,
    with_charts: bool,
    as_json: bool,
) -> None:
    """Print a run (the latest, if none is named); write it as Markdown and HTML beside it.

    \b
    Examples:
      flask-bench report
      flask-bench report results/20261120T120000Z-busy --charts
      flask-bench report results/reference/api --into README.md
      flask-bench report results/one --into docs/performance.md --mark levers --brief
    """
    record = load_run(run)
    folder = run if run.is_dir() else run.parent
    print_run(record, as_json=as_json)
    text = markdown.run_report(record)
    write(folder / MARKDOWN_FILE, text)
    write(folder / PAGE_FILE, html.run_report(record, folder))
    if with_charts:
        charts.save(record, folder / CHARTS_FOLDER)
        say(f"written: {folder / CHARTS_FOLDER}")
    if into:
        part = markdown.run_report(record, brief=brief)
        mark = mark or record.workload.name
        write(into, markdown.insert(part, into.read_text("utf-8"), mark))
