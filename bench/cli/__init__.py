"""The command line: parse, call, print. The only place that exits or prints."""

import os
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import cast

import click

from bench.cli.consoles import stderr
from bench.errors import BenchError, ExitCode

COMMANDS = {
    "run": "bench.cli.run:run",
    "list": "bench.cli.catalog:list_catalog",
    "compare": "bench.cli.compare:compare",
    "report": "bench.cli.report:report",
    "doctor": "bench.cli.doctor:doctor",
    "drain": "bench.cli.drain:drain",
    "eject": "bench.cli.eject:eject",
    "scale": "bench.cli.scale:scale_command",
    "calibrate": "bench.cli.calibrate:calibrate",
}
"""Name → where it is. Imported only when chosen: reports and statistics load libraries for a
second, which must not pass before the first trial of a run begins."""


class Commands(click.Group):
    """The group of all commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return their names in the order in which one needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command of this name; ``None`` if there is none."""
        module, _, attribute = COMMANDS.get(cmd_name, "").partition(":")
        return cast("click.Command", getattr(import_module(module), attribute)) if module else None


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="flask-bench")
def cli() -> None:
    """Run one Flask app behind every common server, and measure which serves it best.

    \b
    Examples:
      flask-bench list
      flask-bench run gevent-uwsgi
      flask-bench run --workload busy --rounds 5
      flask-bench compare results/20261120T120000Z-busy results/latest
      flask-bench doctor shop.wsgi:app --app-dir ~/shop
      flask-bench eject gevent-uwsgi --app shop.wsgi:app --app-dir ~/shop
    """


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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done: one more Ctrl-C changes nothing
    sys.exit(int(code or ExitCode.OK))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
