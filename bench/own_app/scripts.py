"""Run a script of ours in the interpreter of the user's app: bounded in time and in output.

The app is imported there and never here: it may hang, exit, print without end or crash.
"""

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.own_app.app import OwnApp
from bench.processes import logs
from bench.processes.guardian import Guardian
from bench.processes.process import ServerProcess

IMPORT_WITHIN = 30.0
"""Seconds; as long as a server may take to its first answer."""
STOP_WITHIN = 1.0
NOT_INHERITED = (
    "COVERAGE_", "FLASK_", "FORWARDED_ALLOW_IPS", "GEVENT", "GRANIAN_", "GUNICORN_", "LD_PRELOAD",
    "MAKE", "MFLAGS", "PYTHON", "SANIC_", "UVICORN_", "UWSGI_", "WEB_CONCURRENCY",
)  # fmt: skip
"""Servers and Python read these from the environment: they would be measured, but not copied."""


@dataclass(frozen=True)
class Outcome:
    """How a script ended."""

    result: Any
    """What it reported, from JSON; ``None``: it did not get that far."""
    output: str
    """The end of what it and the app printed."""
    exit_code: int | None
    """Negative: the signal that ended it; ``None``: its time was over."""


def run_script(
    app: OwnApp,
    script: Path,
    request: Mapping[str, Any],
    *,
    guardian: Guardian,
    environment: Mapping[str, str] | None = None,
    seconds: float = IMPORT_WITHIN,
    cwd: Path | None = None,
) -> Outcome:
    """Run a script with the app's interpreter, in the app's folder, until it ends or must.

    The script is called with two paths: the request to read and the result to write, both JSON.
    It should call ``setrlimit(RLIMIT_FSIZE)``: what is printed is written to a file.

    Args:
        app: whose interpreter, folder and environment it gets.
        script: a file that needs nothing but the standard library to start.
        request: what it is told; has to be JSON.
        guardian: ends it if this program is killed.
        environment: variables beside those of the app, before which they have precedence.
        seconds: after which it is ended, with all that it has started.
        cwd: another folder to run in, instead of the app's.

    """
    with guardian.temporary_directory() as folder:
        asked, answered = folder / "request.json", folder / "result.json"
        asked.write_text(json.dumps(request), "utf-8")
        process = ServerProcess(
            app.python.name,
            [str(app.python), str(script), str(asked), str(answered)],
            environment=environment_of(app) | dict(environment or {}),
            cwd=cwd or app.folder,
            log=folder / "output.log",
            guardian=guardian,
            grace=STOP_WITHIN,
        )
        with process:
            code = process.wait(seconds)
        return Outcome(_read(answered), logs.tail(folder / "output.log"), code)


def inherited_environment(*, without: Collection[str] = ()) -> dict[str, str]:
    """Return what an app's process gets of this one's environment."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(NOT_INHERITED) and name not in without
    }


def environment_of(app: OwnApp) -> dict[str, str]:
    """Return what the app finds in its environment when a script imports it."""
    inherited = inherited_environment()
    programs = app.python.parent
    return inherited | {
        "PATH": f"{programs}{os.pathsep}{inherited.get('PATH', os.defpath)}",
        "VIRTUAL_ENV": str(programs.parent),
        "PYTHONPATH": str(app.folder),
        "PYTHONDONTWRITEBYTECODE": "1",  # nothing is written to the app's folder
        "PYTHONUNBUFFERED": "1",
        **app.environment,
    }


def _read(answered: Path) -> Any:  # noqa: ANN401 - whatever the script reports
    try:
        return json.loads(answered.read_text("utf-8"))
    except (OSError, ValueError):
        return None
