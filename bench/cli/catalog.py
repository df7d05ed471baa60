"""``flask-bench list``: what can be run."""

import click

from bench.catalog import load_catalog
from bench.cli.consoles import stdout
from bench.report import catalog as text


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def list_catalog(*, as_json: bool) -> None:
    """Show the deployments and the workloads.

    \b
    Examples:
      flask-bench list
      flask-bench list --json | jq .deployments
    """
    catalog = load_catalog()
    if as_json:
        click.echo(text.as_json(catalog))
        return
    for part in text.for_terminal(catalog):
        stdout().print(part, highlight=False)
