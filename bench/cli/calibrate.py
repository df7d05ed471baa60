"""``flask-bench calibrate``: what comparisons on this machine can see."""

from pathlib import Path

import click

from bench.analysis.calibration import calibration_of
from bench.calibrate import CalibrationRequest, carry_out_calibration, estimate
from bench.cli import options as shared
from bench.cli.consoles import say, stderr, warn, write
from bench.cli.options import PART, POSITIVE, Option, as_typed, option
from bench.errors import ExitCode
from bench.model import Run
from bench.report import calibration as text
from bench.report import figures
from bench.report.progress import ProgressReport
from bench.store import load_run

REPORT_FILE = "calibration.md"


@click.command()
@click.argument("deployment", default="gevent-pywsgi")
@option(
    "--workload",
    envvar="WORKLOAD",
    default="hello",
    show_default=True,
    help="Without a wait, so that the server is what limits it.",
)
@option(
    "--workers",
    envvar="WORKERS",
    type=POSITIVE,
    default=1,
    show_default=True,
    help="Few enough that the server, not the machine, is the limit.",
)
@shared.concurrency
@option(
    "--duration",
    envvar="DURATION",
    type=click.FloatRange(min=1),
    default=1.0,
    show_default=True,
    help="Seconds of load per trial.",
)
@option(
    "--rounds",
    envvar="ROUNDS",
    type=POSITIVE,
    default=32,
    show_default=True,
    help="Rounds per comparison; by default all trials take about an hour.",
)
@click.option(
    "--comparisons",
    type=click.IntRange(min=2),
    default=20,
    show_default=True,
    help="Comparisons of the deployment with itself; half as many with each handicap.",
)
@click.option(
    "--handicap",
    "handicaps",
    type=PART,
    multiple=True,
    default=("5%", "10%"),
    show_default=True,
    help="CPU cost that is added to every request; may be repeated.",
)
@shared.seed
@shared.generator
@shared.results
@click.option(
    "--reread",
    type=click.Path(path_type=Path),
    help="Measure nothing: print the tables of this calibration run.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the tables as JSON.")
def calibrate(
    deployment: str,
    *,
    reread: Path | None,
    as_json: bool,
    handicaps: tuple[float, ...],
    **options: Option,
) -> int:
    """Show what comparisons on this machine can see, by one deployment set against itself.

    The same deployment runs under two names, and with a known handicap, again and again. The
    tables say how often it was called different from itself, how often a handicap was found, and
    how many rounds that takes. Exits with 4 if no number of rounds was enough.

    \b
    Examples:
      flask-bench calibrate
      flask-bench calibrate sync-uwsgi --rounds 15
      flask-bench calibrate --reread results/20261120T120000Z-calibrate-hello
    """
    if reread:
        run, folder = load_run(reread), reread if reread.is_dir() else reread.parent
    else:
        request = CalibrationRequest(
            deployment,
            handicaps=tuple(sorted(set(handicaps))),
            command=as_typed(click.get_current_context()),
            **options,
        )
        run, folder = _measured(request)
    found = calibration_of(run)
    markdown = text.as_markdown(run, found)
    write(folder / REPORT_FILE, markdown)
    click.echo(text.as_json(found) if as_json else markdown)
    if run.status == "interrupted":
        return ExitCode.INTERRUPTED
    enough = any(metric.needed for metric in found.metrics)
    return ExitCode.OK if enough else ExitCode.INCONCLUSIVE


def _measured(request: CalibrationRequest) -> tuple[Run, Path]:
    say(f"about {figures.span(estimate(request))}, pilot first")
    outcome = carry_out_calibration(
        request, lambda plan, workload: ProgressReport(stderr(), plan, workload), warn
    )
    if outcome.unsaved:
        raise outcome.unsaved
    say(f"saved in {outcome.folder}")
    return outcome.run, outcome.folder
