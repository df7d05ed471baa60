"""Options that several commands share. Each can be given by environment, as `make` does."""

import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click
from click.core import ParameterSource

from bench.analysis.metrics import DEFAULT_THRESHOLD, METRICS

Option = Any
"""The value of an option, whose type is given where it is declared."""
Command = TypeVar("Command", bound=Callable[..., Any])


class Decorator(Protocol):
    """What gives a command an option."""

    def __call__(self, command: Command, /) -> Command:
        """Return the command, with the option."""


POSITIVE = click.IntRange(min=1)


class Part(click.ParamType[float]):
    """A part of one: ``0.05`` or ``5%``."""

    name = "part"

    def convert(
        self, value: Option, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return it as a number from 0 up to, but not, 1."""
        text = str(value).strip()
        try:
            part = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            part = -1.0
        if not 0 <= part < 1:
            self.fail(f"{value!r} is no part: 0.05 and 5% are", param, ctx)
        return part


PART = Part()


def option(*names: str, envvar: str, **settings: Option) -> Decorator:
    """Return an option that shows the environment variable which gives it, too."""
    return click.option(*names, envvar=envvar, show_envvar=True, **settings)


workload = option(
    "--workload",
    envvar="WORKLOAD",
    default="api",
    show_default=True,
    help="What a request does; `flask-bench list` names them.",
)
concurrency = option(
    "--concurrency", envvar="CONCURRENCY", type=POSITIVE, help="Requests under way at once."
)
workers = option(
    "--workers",
    envvar="WORKERS",
    type=POSITIVE,
    help="Worker processes, where the server has workers.",
)
seed = option(
    "--seed",
    envvar="SEED",
    type=int,
    help="Repeat the order of a run that recorded this seed.",
)
generator = option(
    "--load",
    "generator",
    envvar="LOAD",
    help="The load generator: ab, or builtin, which takes a scenario.  [default: what suits]",
)
results = option(
    "--results",
    envvar="RESULTS",
    type=click.Path(path_type=Path),
    default="results",
    show_default=True,
    help="Where runs are kept.",
)


def as_typed(context: click.Context) -> tuple[str, ...]:
    """Return the call with what came by environment as options: whoever types it repeats it."""
    given = [
        (parameter.opts[0], str(context.params[parameter.name]))
        for parameter in context.command.params
        if parameter.name
        and isinstance(parameter, click.Option)
        and context.get_parameter_source(parameter.name) is ParameterSource.ENVIRONMENT
    ]
    return ("flask-bench", *sys.argv[1:], *chain.from_iterable(given))


def comparison(command: Command) -> Command:
    """Give a command the options of a comparison."""
    for each in (
        click.option(
            "--allow-unlike", is_flag=True, help="Compare what differs in more than versions."
        ),
        option(
            "--threshold",
            envvar="THRESHOLD",
            type=PART,
            default=DEFAULT_THRESHOLD,
            show_default="5%",
            help="What matters: worse by more is a regression (exit code 1).",
        ),
        option(
            "--metric",
            envvar="METRIC",
            type=click.Choice(list(METRICS)),
            default="rps",
            show_default=True,
            help="What to compare: rate, response times, CPU time per request, memory.",
        ),
    ):
        command = each(command)
    return command
