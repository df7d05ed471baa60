"""``flask-bench compare``: two runs, and whether they differ."""

from pathlib import Path

import click

from bench.analysis.alike import identity, pool
from bench.analysis.compare import Comparison
from bench.analysis.compare import compare as compare_runs
from bench.cli import options as shared
from bench.cli.consoles import stdout
from bench.cli.options import Option
from bench.errors import UsageError
from bench.report import comparison as text
from bench.report import terminal
from bench.store import LATEST, load_run


@click.command()
@click.argument("base", type=click.Path(path_type=Path), envvar="BASE")
@click.argument(
    "new", type=click.Path(path_type=Path), envvar="NEW", default=Path("results", LATEST)
)
@shared.comparison
@click.option(
    "--pool-base",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Another run of the same thing as BASE, taken together with it; may be repeated.",
)
@click.option(
    "--pool-new", multiple=True, type=click.Path(path_type=Path), help="The same for NEW."
)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print it as Markdown.")
def compare(
    base: Path,
    new: Path,
    *,
    pool_base: tuple[Path, ...],
    pool_new: tuple[Path, ...],
    as_json: bool,
    as_markdown: bool,
    **options: Option,
) -> int:
    """Say for each deployment whether it got faster or slower, and how sure that is.

    Exits with 0, with 1 if there is a regression, with 4 if anything is inconclusive.

    \b
    Examples:
      flask-bench compare results/20261120T120000Z-busy results/20261120T130000Z-busy
      flask-bench compare results/20261120T120000Z-busy        (with the latest)
      flask-bench compare results/a results/b --metric cpu --threshold 3%
    """
    before = [load_run(path) for path in (base, *pool_base)]
    after = [load_run(path) for path in (new, *pool_new)]
    if common := set(map(identity, before)) & set(map(identity, after)):
        both = " and ".join(sorted(run for run, _ in common))
        raise UsageError(f"BASE and NEW are the same run, or have it in common: {both}")
    comparison = compare_runs(pool(before), pool(after), **options)
    if as_json:
        click.echo(text.as_json(comparison))
    elif as_markdown:
        click.echo(text.as_markdown(comparison), nl=False)
    else:
        print_comparison(comparison)
    return comparison.exit_code


def print_comparison(comparison: Comparison) -> None:
    """Print it as a table."""
    for part in terminal.comparison_report(comparison):
        stdout().print(part, highlight=False)
