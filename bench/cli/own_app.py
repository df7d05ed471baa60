"""The options that name the user's own app and its request, for every command that takes these."""

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


def request_options(command: Command) -> Command:
    """Give a command what is sent, and what a right answer to it is."""
    for each in (
        option(
            "--expect-body",
            envvar="EXPECT_BODY",
            metavar="TEXT|@FILE",
            help="The one right body.  [default: what the app answers first]",
        ),
        option(
            "--expect-status",
            envvar="EXPECT_STATUS",
            type=click.IntRange(100, 599),
            help="The one right status.  [default: any from 200 to 299]",
        ),
        option("--body", envvar="BODY", metavar="TEXT|@FILE", help="Sent with each request."),
        click.option(
            "--header",
            "headers",
            multiple=True,
            metavar="'NAME: VALUE'",
            help="Sent with each request; may be given more than once.",
        ),
        option(
            "--method",
            envvar="METHOD",
            help="How that is requested.  [default: GET; POST with --body]",
        ),
    ):
        command = each(command)
    return command
