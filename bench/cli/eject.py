"""``flask-bench eject``: take a deployment home, with what production needs around it."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import click
from rich.text import Text

from bench.cli.consoles import say, stdout, warn
from bench.cli.options import POSITIVE, Option, as_typed, option
from bench.cli.own_app import own_app_options
from bench.eject.changes import Change, refused
from bench.eject.prepare import EjectRequest, Prepared, carry_out, prepare
from bench.errors import ExitCode, UsageError
from bench.own_app.app import own_app

COLOURS = {"+": "green", "-": "red", "@": "cyan"}
"""First character of a line of a diff → its colour."""
PORTS = click.IntRange(1024, 65534)
"""Below, a user without rights may not listen; in a pod the app listens on the next one."""


@click.command()
@click.argument("deployment")
@option(
    "--app",
    envvar="APP",
    metavar="MODULE:APP",
    required=True,
    help="Your app: module:app or module:create_app().",
)
@own_app_options
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="The folder to write, in the app's folder or beside it.  [default: deploy in --app-dir]",
)
@click.option("--name", help="What image, service and units are called.  [default: the module's]")
@click.option("--image", help="The Python image to build from.  [default: the app's own Python's]")
@click.option("--port", type=PORTS, default=8000, show_default=True, help="Where it listens.")
@option("--workers", envvar="WORKERS", type=POSITIVE, help="Worker processes.")
@option("--threads", envvar="THREADS", type=POSITIVE, help="Threads per worker.")
@option("--async-cores", envvar="ASYNC_CORES", type=POSITIVE, help="Greenlets per worker.")
@click.option(
    "--health-path", help="A path that does no I/O.  [default: /healthz if the app has it, else /]"
)
@click.option(
    "--ready-path",
    help="What says that requests can be sent.  [default: /readyz, else --health-path]",
)
@click.option(
    "--requirements",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The app's requirements.  [default: requirements.txt, else pyproject.toml, else a freeze]",
)
@click.option("--force", is_flag=True, help="Replace files that you have edited, too.")
@click.option(
    "--diff", "--dry-run", "only_show", is_flag=True, help="Show what would change; write nothing."
)
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def eject(
    deployment: str,
    *,
    app: str,
    app_dir: Path | None,
    python: Path | None,
    env_file: Path | None,
    only_show: bool,
    as_json: bool,
    **options: Option,
) -> int:
    """Write what production needs, made from the very files that were measured.

    Entrypoint and configuration of the server, Dockerfile, compose file, nginx, systemd units,
    Kubernetes manifests, settings and the reasons. Written again it brings what is new, and leaves
    alone what you have edited. Exits with 1 if --diff finds a change.

    \b
    Examples:
      flask-bench eject gevent-uwsgi --app shop.wsgi:app --app-dir ~/shop --python ~/shop/.venv
      flask-bench eject nginx-gunicorn --app 'shop:create_app()' --to deploy --workers 2
      flask-bench eject gevent-uwsgi@reuse-port --app shop.wsgi:app --diff
      flask-bench eject gevent-gunicorn --app httpbin:app --python venv --health-path /status/200
    """
    request = EjectRequest(
        deployment,
        own_app(app, folder=app_dir, python=python, env_file=env_file),
        call=shlex.join(_without_flags(as_typed(click.get_current_context()))),
        env_file=env_file,
        **options,
    )
    prepared = prepare(request)
    for note in prepared.notes:
        warn(note)
    if only_show:
        return _show(prepared, as_json=as_json)
    _refuse_edited(prepared, as_json=as_json)
    carry_out(prepared)
    _report(prepared, as_json=as_json, written=True)
    return ExitCode.OK


def _show(prepared: Prepared, *, as_json: bool) -> ExitCode:
    if as_json:
        _report(prepared, as_json=True, written=False)
    else:
        _print_diffs(prepared.changes)
    changed = any(change.is_one for change in prepared.changes)
    return ExitCode.REGRESSION if changed else ExitCode.OK


def _refuse_edited(prepared: Prepared, *, as_json: bool) -> None:
    edited = refused(prepared.changes)
    if not edited:
        return
    if as_json:
        _report(prepared, as_json=True, written=False)
    else:
        _print_diffs([change for change in prepared.changes if change.state == "edited"])
    raise UsageError(
        f"nothing was written: in {prepared.target} there is what flask-bench did not write, or"
        f" what was edited since: {', '.join(edited)}. Take over what you want of the difference,"
        " or say --force to replace these files"
    )


def _print_diffs(changes: Sequence[Change]) -> None:
    console = stdout()
    for line in "".join(change.diff for change in changes if change.is_one).split("\n")[:-1]:
        if console.is_terminal:
            style = COLOURS.get(line[:1], "")
            console.print(Text(line, style), highlight=False, soft_wrap=True)
        else:
            click.echo(line)


def _report(prepared: Prepared, *, as_json: bool, written: bool) -> None:
    if as_json:
        content = {
            "folder": str(prepared.target),
            "deployment": prepared.deployment,
            "written": written,
            "files": [{"path": c.path, "state": c.state} for c in prepared.changes],
            "notes": list(prepared.notes),
        }
        click.echo(json.dumps(content, indent=2))
        return
    for change in prepared.changes:
        if change.state != "same":
            click.echo(f"{change.state:8} {prepared.target / change.path}")
    say(f"written: {prepared.target}, whose README.md says how to go on")


def _without_flags(call: tuple[str, ...]) -> tuple[str, ...]:
    """Return the call as it writes the same again: without what is meant for this once."""
    once = {"--force", "--diff", "--dry-run", "--json"}
    return tuple(word for word in call if word not in once)
