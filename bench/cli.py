"""The command line: parse, call, print. The only place that exits or prints."""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.console import Console

from bench.analysis.compare import compare as compare_runs
from bench.catalog import load_catalog
from bench.errors import BenchError, ExitCode
from bench.model import Run
from bench.report import catalog as catalog_report
from bench.report import markdown, terminal
from bench.report.progress import ProgressReport
from bench.session import RunRequest, carry_out
from bench.store import LATEST, load_run, run_as_json

WIDTH_IN_A_PIPE = 200
REPORT_FILE = "report.md"

Option = Any
"""What click's decorators are: they type as taking and returning any function."""


class ResultsConsole(Console):
    """A console whose reader may leave early: that is for `main` to handle, not an error."""

    def on_broken_pipe(self) -> None:
        """Hand the error on instead of exiting with 1, as Rich would."""
        raise BrokenPipeError


def stdout() -> Console:
    """Return the console for results; in a pipe it neither wraps nor colours."""
    return ResultsConsole(width=None if sys.stdout.isatty() else WIDTH_IN_A_PIPE)


def stderr() -> Console:
    """Return the console for progress and errors."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH_IN_A_PIPE)


def main() -> None:
    """Run the command line and exit with one of `ExitCode`."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        code = cli(standalone_mode=False)
    except BenchError as error:
        stderr().print(f"error: {error}", style="red", markup=False, highlight=False)
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        # whoever read the output (head, less) has seen enough; nothing more can be said to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.OK
    sys.exit(int(code or ExitCode.OK))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="flask-bench")
def cli() -> None:
    r"""Run one Flask app behind every common server, and measure which serves it best.

    \b
    Examples:
      flask-bench list
      flask-bench run gevent-uwsgi
      flask-bench run --workload db
      flask-bench compare results/20261120T120000Z-api results/latest
    """


POSITIVE = click.IntRange(min=1)


@cli.command()
@click.argument("deployments", nargs=-1, metavar="[DEPLOYMENT]...")
@click.option(
    "--workload",
    envvar="WORKLOAD",
    default="api",
    show_default=True,
    show_envvar=True,
    help="What a request does; `flask-bench list` names them.",
)
@click.option(
    "--requests",
    envvar="REQUESTS",
    type=POSITIVE,
    show_envvar=True,
    help="End the load after so many requests.",
)
@click.option(
    "--duration",
    envvar="DURATION",
    type=click.FloatRange(min=0, min_open=True),
    show_envvar=True,
    help="End the load after so many seconds.",
)
@click.option(
    "--concurrency",
    envvar="CONCURRENCY",
    type=POSITIVE,
    show_envvar=True,
    help="Requests under way at once.",
)
@click.option(
    "--delay",
    envvar="DELAY",
    type=float,
    show_envvar=True,
    help="Seconds that a request waits for others.",
)
@click.option(
    "--rounds",
    envvar="ROUNDS",
    type=POSITIVE,
    default=1,
    show_default=True,
    show_envvar=True,
    help="Run every deployment so many times, in random order.",
)
@click.option(
    "--seed",
    envvar="SEED",
    type=int,
    show_envvar=True,
    help="Repeat the order of a run that recorded this seed.",
)
@click.option(
    "--workers",
    envvar="WORKERS",
    type=POSITIVE,
    show_envvar=True,
    help="Worker processes, where the server has workers.",
)
@click.option(
    "--threads",
    envvar="THREADS",
    type=POSITIVE,
    show_envvar=True,
    help="Threads per worker, where the server has threads.",
)
@click.option(
    "--async-cores",
    envvar="ASYNC_CORES",
    type=POSITIVE,
    show_envvar=True,
    help="Greenlets per worker, where the server has them.",
)
@click.option(
    "--runner",
    envvar="RUNNER",
    default="local",
    show_default=True,
    show_envvar=True,
    help="Where deployments run.",
)
@click.option(
    "--load",
    "generator",
    envvar="LOAD",
    default="ab",
    show_default=True,
    show_envvar=True,
    help="The load generator.",
)
@click.option(
    "--app",
    envvar="APP",
    show_envvar=True,
    metavar="MODULE:APP",
    help="Your own app, module:app or module:create_app(), instead of the demo.",
)
@click.option(
    "--app-dir",
    envvar="APP_DIR",
    type=click.Path(path_type=Path),
    show_envvar=True,
    help="The folder that your own app is imported from.  [default: this one]",
)
@click.option(
    "--url-path",
    envvar="URL_PATH",
    show_envvar=True,
    help="Path and query to load instead of the workload's.",
)
@click.option(
    "--port",
    envvar="PORT",
    type=click.IntRange(1, 65535),
    show_envvar=True,
    help="Listen on this port instead of a free one.",
)
@click.option(
    "--database-url",
    envvar="DATABASE_URL",
    show_envvar=True,
    help="Use this Postgres instead of a throwaway one.",
)
@click.option(
    "--results",
    envvar="RESULTS",
    type=click.Path(path_type=Path),
    default="results",
    show_default=True,
    show_envvar=True,
    help="Where runs are kept.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON instead of a table.")
def run(deployments: tuple[str, ...], *, as_json: bool, **options: Option) -> int:
    r"""Measure deployments (all that suit the workload, if none is named).

    \b
    Examples:
      flask-bench run gevent-uwsgi
      flask-bench run gevent-uwsgi gevent-gunicorn --rounds 5 --workload busy
      flask-bench run gevent-gunicorn --requests 8000 --concurrency 4000 --delay 5
      flask-bench run --app shop.wsgi:app --app-dir ~/shop --url-path /checkout
    """
    request = RunRequest(deployments, command=("flask-bench", *sys.argv[1:]), **options)
    outcome = carry_out(
        request, lambda plan, workload: ProgressReport(stderr(), plan, workload), warn
    )
    _print_run(outcome.run, as_json=as_json)
    if outcome.unsaved:
        raise outcome.unsaved
    stderr().print(f"saved in {outcome.folder}", highlight=False)
    return _exit_code(outcome.run)


def warn(text: str) -> None:
    """Tell of something that is going to make the run misleading."""
    stderr().print(f"warning: {text}", style="yellow", markup=False, highlight=False)


def _print_run(run: Run, *, as_json: bool) -> None:
    if as_json:
        click.echo(run_as_json(run))
        return
    for part in terminal.run_report(run):
        stdout().print(part, highlight=False)


def _exit_code(run: Run) -> ExitCode:
    if run.status == "interrupted":
        return ExitCode.INTERRUPTED
    return ExitCode.OK if all(trial.valid for trial in run.trials) else ExitCode.TRIAL_FAILED


@cli.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def list_catalog(*, as_json: bool) -> None:
    r"""Show the deployments and the workloads.

    \b
    Examples:
      flask-bench list
      flask-bench list --json | jq .deployments
    """
    catalog = load_catalog()
    if as_json:
        click.echo(catalog_report.as_json(catalog))
        return
    for part in catalog_report.for_terminal(catalog):
        stdout().print(part, highlight=False)


@cli.command()
@click.argument("base", type=click.Path(path_type=Path), envvar="BASE")
@click.argument(
    "new", type=click.Path(path_type=Path), envvar="NEW", default=Path("results", LATEST)
)
def compare(base: Path, new: Path) -> None:
    r"""Set two runs side by side, deployment by deployment.

    \b
    Examples:
      flask-bench compare results/20261120T120000Z-api results/20261120T130000Z-api
      flask-bench compare results/20261120T120000Z-api        (with the latest)
    """
    comparison = compare_runs(load_run(base), load_run(new))
    for part in terminal.comparison_report(comparison):
        stdout().print(part, highlight=False)


@cli.command()
@click.argument(
    "run", type=click.Path(path_type=Path), envvar="RUN", default=Path("results", LATEST)
)
@click.option(
    "--into",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Put the Markdown between the marks of this document, too.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON instead.")
def report(run: Path, into: Path | None, *, as_json: bool) -> None:
    r"""Print a run's table (the latest, if none is named) and write it as Markdown beside the run.

    \b
    Examples:
      flask-bench report
      flask-bench report results/reference/api --into README.md
    """
    record = load_run(run)
    _print_run(record, as_json=as_json)
    text = markdown.run_report(record)
    folder = run if run.is_dir() else run.parent
    _write(folder / REPORT_FILE, text)
    if into:
        _write(into, markdown.insert(text, into.read_text("utf-8")))


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise BenchError(f"cannot write {file}: {error.strerror}") from error
    stderr().print(f"written: {file}", highlight=False)
