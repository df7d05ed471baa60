"""``flask-bench run``: measure, and if asked compare with an earlier run."""

from pathlib import Path

import click

from bench.cli import options as shared
from bench.cli.consoles import print_run, say, stderr, warn
from bench.cli.options import POSITIVE, Option, as_typed, option
from bench.cli.own_app import app_instead_of_the_demo, own_app_options, request_options
from bench.errors import ExitCode
from bench.model import Run
from bench.report.progress import ProgressReport
from bench.run_request import RunRequest
from bench.session import carry_out
from bench.store import load_run


@click.command()
@click.argument("deployments", nargs=-1, metavar="[DEPLOYMENT]...")
@shared.workload
@option("--requests", envvar="REQUESTS", type=POSITIVE, help="End the load after so many requests.")
@option(
    "--duration",
    envvar="DURATION",
    type=click.FloatRange(min=0, min_open=True),
    help="End the load after so many seconds.",
)
@shared.concurrency
@option("--delay", envvar="DELAY", type=float, help="Seconds that a request waits for others.")
@option(
    "--rounds",
    envvar="ROUNDS",
    type=POSITIVE,
    show_default="1, or as many as BASE has",
    help="Run every deployment so many times, in random order.",
)
@shared.seed
@shared.workers
@option(
    "--threads",
    envvar="THREADS",
    type=POSITIVE,
    help="Threads per worker, where the server has threads.",
)
@option(
    "--async-cores",
    envvar="ASYNC_CORES",
    type=POSITIVE,
    help="Greenlets per worker, where the server has them.",
)
@option(
    "--backlog",
    envvar="BACKLOG",
    type=POSITIVE,
    help="Connections that may wait to be accepted; net.core.somaxconn caps it.",
)
@option(
    "--runner",
    envvar="RUNNER",
    default="local",
    show_default=True,
    help="Where deployments run: local, compose, both in one run (local,compose), or external.",
)
@option(
    "--url",
    envvar="URL",
    help="Where a deployment is up already, as in http://127.0.0.1:8000; with RUNNER=external.",
)
@click.option(
    "--yes-i-may-load-this-host",
    "may_load_this_host",
    is_flag=True,
    help="The host of --url is another machine, and its owner agrees to the load.",
)
@shared.generator
@app_instead_of_the_demo
@own_app_options
@option(
    "--scenario",
    envvar="SCENARIO",
    type=click.Path(path_type=Path),
    help="A file with several requests and how often each of them comes.",
)
@option("--url-path", envvar="URL_PATH", help="Path and query to load instead of the workload's.")
@request_options
@option(
    "--port",
    envvar="PORT",
    type=click.IntRange(1, 65535),
    help="Listen on this port instead of a free one.",
)
@option(
    "--database-url",
    envvar="DATABASE_URL",
    help="Use this Postgres instead of a throwaway one.",
)
@shared.results
@option(
    "--base",
    envvar="BASE",
    type=click.Path(path_type=Path),
    help="Compare with this run afterwards; exits as `compare` does.",
)
@shared.comparison
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON instead of a table.")
def run(
    deployments: tuple[str, ...],
    *,
    as_json: bool,
    rounds: int | None,
    base: Path | None,
    metric: str,
    threshold: float,
    allow_unlike: bool,
    **options: Option,
) -> int:
    """Measure deployments (all that suit the workload, if none is named).

    \b
    Examples:
      flask-bench run gevent-uwsgi
      flask-bench run gevent-uwsgi gevent-gunicorn --rounds 5 --workload busy
      flask-bench run gevent-gunicorn --requests 8000 --concurrency 4000 --delay 5
      flask-bench run gevent-uwsgi --runner local,compose --rounds 5
      flask-bench run --runner external --url http://127.0.0.1:8000 --url-path /checkout
      flask-bench run --app shop.wsgi:app --app-dir ~/shop --url-path /checkout
      flask-bench run --app 'shop:create_app()' --python ~/shop/.venv/bin/python --env-file .env
      flask-bench run --app shop:app --url-path /cart --body '{"item": 7}' \\
          --header 'Content-Type: application/json' --expect-status 201
      flask-bench run --app shop:app --scenario visitors.toml --duration 30
      flask-bench run gevent-uwsgi --base results/20261120T120000Z-busy --metric cpu
    """
    # Read before anything is measured: a BASE that is none must not cost a run.
    before = load_run(base) if base else None
    request = RunRequest(
        deployments,
        command=as_typed(click.get_current_context()),
        rounds=rounds or (before.rounds if before else 1),
        **options,
    )
    outcome = carry_out(
        request, lambda plan, workload: ProgressReport(stderr(), plan, workload), warn
    )
    print_run(outcome.run, as_json=as_json)
    if outcome.unsaved:
        raise outcome.unsaved
    say(f"saved in {outcome.folder}")
    code = _exit_code(outcome.run)
    if before is None or code is ExitCode.INTERRUPTED:
        return code
    gate = _compared(
        before, outcome.run, metric=metric, threshold=threshold, allow_unlike=allow_unlike,
        on_stderr=as_json,
    )  # fmt: skip
    # A trial that failed explains more than the comparison; both mean "do not merge".
    return code or gate


def _compared(before: Run, after: Run, *, on_stderr: bool, **options: Option) -> ExitCode:
    from bench.analysis.compare import compare  # noqa: PLC0415 - SciPy: not before the first trial
    from bench.cli.compare import print_comparison  # noqa: PLC0415
    from bench.report.comparison import as_markdown  # noqa: PLC0415

    comparison = compare(before, after, **options)
    if on_stderr:
        say(as_markdown(comparison))
    else:
        print_comparison(comparison)
    return comparison.exit_code


def _exit_code(record: Run) -> ExitCode:
    if record.status == "interrupted":
        return ExitCode.INTERRUPTED
    if not record.trials:  # every deployment was left out, for the lack of something
        return ExitCode.USAGE
    return ExitCode.OK if all(trial.valid for trial in record.trials) else ExitCode.TRIAL_FAILED
