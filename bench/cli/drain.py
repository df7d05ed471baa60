"""``flask-bench drain``: what stops, reloads and killed workers cost under constant load."""

from types import TracebackType
from typing import Self

import click
from rich.status import Status

from bench.cli import options as shared
from bench.cli.consoles import stderr, stdout
from bench.cli.options import POSITIVE, Option, as_typed, option
from bench.cli.own_app import app_instead_of_the_demo, own_app_options, request_options
from bench.drain.model import EVENTS, DrainRun, DrainTrial
from bench.drain.session import DrainRequest, carry_out
from bench.drain.trial import PlannedDrain
from bench.errors import ExitCode
from bench.report import drain as text


@click.command()
@click.argument("deployments", nargs=-1, metavar="[DEPLOYMENT]...")
@click.option(
    "--event",
    "events",
    metavar="EVENT,…",
    help=f"Some of {', '.join(EVENTS)}.  [default: all of them]",
)
@option(
    "--concurrency",
    envvar="CONCURRENCY",
    type=POSITIVE,
    default=200,
    show_default=True,
    help="Clients, each with one request under way at all times.",
)
@option(
    "--delay",
    envvar="DELAY",
    type=float,
    help="Seconds that a request of the demo waits for others.  [default: the workload's: 1]",
)
@option(
    "--rounds",
    envvar="ROUNDS",
    type=POSITIVE,
    default=3,
    show_default=True,
    help="Trials of each event, at another moment of the load's waves each.",
)
@shared.seed
@shared.workers
@click.option(
    "--keep-alive",
    is_flag=True,
    help="Clients keep their connections, instead of a new one per request.",
)
@click.option(
    "--plain",
    is_flag=True,
    help="The servers' own signals, without hold.py, whatever is lost by that.",
)
@app_instead_of_the_demo
@own_app_options
@option("--url-path", envvar="URL_PATH", help="Path and query to load instead of the demo's.")
@request_options
@click.option("--json", "as_json", is_flag=True, help="Print all trials as JSON.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the table as Markdown.")
def drain(
    deployments: tuple[str, ...],
    *,
    events: str | None,
    as_json: bool,
    as_markdown: bool,
    **options: Option,
) -> int:
    """Stop, reload and hurt deployments under constant load, and count the lost requests.

    Exits with 1 if a stop, a reload or a recycled worker lost a request, or a killed worker one
    that was not its own, and with 3 if a trial could not be carried out.

    \b
    Examples:
      flask-bench drain
      flask-bench drain gevent-gunicorn --event stop,reload --rounds 10
      flask-bench drain gevent-uwsgi --event stop --plain
      flask-bench drain --app shop.wsgi:app --app-dir ~/shop --url-path /checkout
      flask-bench drain --app shop:app --url-path /cart --body '{"item": 7}' \\
          --header 'Content-Type: application/json'
    """
    request = DrainRequest(
        deployments,
        events=tuple(filter(None, (name.strip() for name in (events or "").split(",")))),
        command=as_typed(click.get_current_context()),
        **options,
    )
    with Progress() as progress:
        run = carry_out(request, progress.begins, progress.ended)
    if as_json:
        click.echo(text.as_json(run))
    elif as_markdown:
        click.echo(text.as_markdown(run), nl=False)
    else:
        for part in text.for_terminal(run):
            stdout().print(part, highlight=False)
    return _exit_code(run)


class Progress:
    """Tells on standard error how it goes on."""

    def __init__(self) -> None:
        self._console = stderr()
        self._live = Status("", console=self._console)
        self._head = ""

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def begins(self, index: int, total: int, planned: PlannedDrain) -> None:
        """Show which trial is in hand."""
        self._head = f"{index + 1}/{total}"
        self._live.update(
            f"{self._head} {planned.deployment.name}: {planned.event} by {planned.way.text}"
        )

    def ended(self, trial: DrainTrial) -> None:
        """Print what came of it: one line."""
        self._console.print(
            f"{self._head} {text.outcome(trial)}",
            style="red" if trial.failure or trial.at_fault else "",
            markup=False,
            highlight=False,
        )


def _exit_code(run: DrainRun) -> ExitCode:
    if run.interrupted:
        return ExitCode.INTERRUPTED
    if not run.trials:  # every deployment was left out, for the lack of something
        return ExitCode.USAGE
    if any(trial.failure for trial in run.trials):
        return ExitCode.TRIAL_FAILED
    return ExitCode.REGRESSION if any(t.at_fault for t in run.trials) else ExitCode.OK
