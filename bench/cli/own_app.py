"""The options that name the user's own app, for every command that takes one."""

from pathlib import Path

import click

from bench.cli.options import Command, option

app_instead_of_the_demo = option(
    "--app",
    envvar="APP",
    metavar="MODULE:APP",
    help="Your own app, module:app or module:create_app(), instead of the demo.",
)


def own_app_options(command: Command) -> Command:
    """Give a command ``--app-dir``, ``--python`` and ``--env-file``."""
    for each in (
        option(
            "--env-file",
            envvar="ENV_FILE",
            type=click.Path(path_type=Path),
            help="NAME=value lines that your app finds in its environment.",
        ),
        option(
            "--python",
            envvar="APP_PYTHON",
            type=click.Path(path_type=Path),
            help="The interpreter of your app's virtual environment.  [default: this one]",
        ),
        option(
            "--app-dir",
            envvar="APP_DIR",
            type=click.Path(path_type=Path),
            help="The folder that your app is imported from.  [default: this one]",
        ),
    ):
        command = each(command)
    return command
