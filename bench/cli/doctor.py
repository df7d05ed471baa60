"""``flask-bench doctor``: what of an app will not work under gevent, or in production."""

from pathlib import Path

import click

from bench.catalog import load_catalog
from bench.cli.consoles import stdout, write
from bench.cli.own_app import own_app_options
from bench.doctor.examine import Request, all_checks, examine
from bench.doctor.silence import from_options
from bench.errors import ExitCode
from bench.own_app.app import own_app
from bench.own_app.scripts import IMPORT_WITHIN
from bench.processes.guardian import Guardian
from bench.report import doctor as text

DEFAULT_DEPLOYMENT = "gevent-uwsgi"


@click.command()
@click.argument("app", metavar="MODULE:APP")
@click.option(
    "--deployment",
    "deployments",
    multiple=True,
    default=(DEFAULT_DEPLOYMENT,),
    show_default=True,
    help="What is to serve it; may be repeated.",
)
@own_app_options
@click.option(
    "--url-path",
    help="Serve the app, request this path, and name the line that blocks.",
)
@click.option(
    "--config",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A server's file to read; may be repeated.  [default: those in the app's folder]",
)
@click.option(
    "--ignore", multiple=True, metavar="CHECK=REASON", help="Leave a finding as it is; why?"
)
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True),
    default=IMPORT_WITHIN,
    show_default=True,
    help="Seconds that an import of the app may take.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option(
    "--sarif",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write them as SARIF 2.1.0, too.",
)
def doctor(
    app: str,
    *,
    deployments: tuple[str, ...],
    app_dir: Path | None,
    python: Path | None,
    env_file: Path | None,
    url_path: str | None,
    files: tuple[Path, ...],
    ignore: tuple[str, ...],
    time_limit: float,
    as_json: bool,
    sarif: Path | None,
) -> ExitCode:
    """Import an app as a deployment does, and say what will not work there.

    No handler is called unless --url-path names one. Exits with 0 if nothing is found, with 1 if
    there are errors or warnings, with 3 if the app cannot be imported.

    \b
    Examples:
      flask-bench doctor shop.wsgi:app
      flask-bench doctor 'shop:create_app()' --app-dir ~/shop --python ~/shop/.venv
      flask-bench doctor shop.wsgi:app --deployment gevent-gunicorn --deployment nginx-gunicorn
      flask-bench doctor shop.wsgi:app --url-path /checkout
      flask-bench doctor shop.wsgi:app --ignore thread-at-import='the metrics of each worker'
    """
    checks = all_checks()
    catalog = load_catalog()
    request = Request(
        app=own_app(app, folder=app_dir, python=python, env_file=env_file),
        deployments=[catalog.deployment(name) for name in dict.fromkeys(deployments)],
        files=files,
        url_path=url_path,
        ignore=from_options(ignore, [check.id for check in checks]),
        seconds=time_limit,
    )
    with Guardian() as guardian:
        diagnosis = examine(request, guardian)
    root = Path.cwd()
    if sarif:
        write(sarif, text.as_sarif(diagnosis, checks, root))
    if as_json:
        click.echo(text.as_json(diagnosis, root))
    else:
        for part in text.report(diagnosis, root):
            stdout().print(part, highlight=False)
    # 1 is what says "something was found", of a comparison and here
    return ExitCode.REGRESSION if diagnosis.counted else ExitCode.OK
