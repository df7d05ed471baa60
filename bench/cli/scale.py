"""``flask-bench scale``: how a deployment's costs grow with the requests under way at once."""

from pathlib import Path

import click

from bench.analysis.scale import growth
from bench.cli.consoles import stdout, write
from bench.report import markdown, scale, terminal
from bench.store import load_run

TITLE = "How costs grow with the requests at once"


@click.command("scale")
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--into",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Put the table between the marks `results of scale` of this document.",
)
@click.option(
    "--chart", type=click.Path(path_type=Path, dir_okay=False), help="Write the curves as SVG."
)
@click.option(
    "--allow-unlike", is_flag=True, help="Put runs of unlike machines or workloads side by side."
)
def scale_command(
    runs: tuple[Path, ...], *, into: Path | None, chart: Path | None, allow_unlike: bool
) -> None:
    """Put runs at several concurrencies side by side: CPU, memory and start by requests at once.

    \b
    Examples:
      make bench-gevent-uwsgi REQUESTS=200 CONCURRENCY=100 DELAY=10
      make bench-gevent-uwsgi REQUESTS=2000 CONCURRENCY=1000 DELAY=10
      flask-bench scale results/<the one> results/<the other> --chart scale.svg
    """
    records = [load_run(run) for run in runs]
    points = growth(records, allow_unlike=allow_unlike)
    grid = scale.scale_grid(records, points)
    for part in terminal.grid(TITLE, grid):
        stdout().print(part, highlight=False)
    if chart:
        write(chart, scale.chart_svg(points))
    if into:
        text = "\n".join(markdown.grid(TITLE, grid))
        write(into, markdown.insert(text, into.read_text("utf-8"), "scale"))
