"""Import the app in its own interpreter, as an entrypoint does, and bring home what that shows."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bench.doctor.facts import CHOOSES_AT_IMPORT, Imported
from bench.errors import BenchError, ExitCode, MissingToolError
from bench.own_app import import_probe
from bench.own_app.app import OwnApp
from bench.own_app.needs import NOT_CALLED
from bench.own_app.scripts import Outcome, run_script
from bench.processes.guardian import Guardian

INSIDE = Path(__file__).parent / "inside"
TELL_AFTER = 0.8
"""Part of its time after which the import says where it is."""
OLDEST_PYTHON = (3, 9)
"""What gevent 24.10.1 needs, the oldest that gunicorn 26 takes."""
DISTRIBUTIONS = (
    *("flask", "gevent", "greenlet", "gunicorn", "psycogreen", "psycopg2", "psycopg2-binary"),
    *("psycopg", "sqlalchemy", "mysqlclient", "pyodbc", "oracledb", "grpcio", "asgiref"),
)
INSTALLED_BY = {
    "MySQLdb": "mysqlclient", "PIL": "pillow", "bs4": "beautifulsoup4", "cv2": "opencv-python",
    "dateutil": "python-dateutil", "dotenv": "python-dotenv", "jwt": "PyJWT",
    "psycopg2": "psycopg2-binary", "sklearn": "scikit-learn", "yaml": "PyYAML",
}  # fmt: skip
"""Modules whose distribution has another name."""
ASKS_FOR_SETTINGS = {"UndefinedValueError", "EnvError", "ImproperlyConfigured"}
"""Errors of decouple, environs and settings modules about a variable that is not there."""
FRAMES_OF_THE_IMPORT = re.compile(
    r'^  File "[^"\n]*(?:doctor/inside/look\.py|importlib)[^"\n]*", line.*\n(?:    .*\n)*',
    re.MULTILINE,
)
"""What a traceback has before the first line of the app's own."""
IMPORTED: TypeAdapter[Imported] = TypeAdapter(Imported)


class AppImportError(BenchError):
    """The app cannot be imported: there is nothing to look at."""

    exit_code = ExitCode.TRIAL_FAILED


def import_app(
    app: OwnApp,
    *,
    gevent: bool,
    guardian: Guardian,
    seconds: float,
    records_patches: bool = False,
) -> Imported:
    """Import an app and return what is there afterwards.

    Args:
        app: what to import, and with what.
        gevent: patch first, as the entrypoints with gevent do.
        guardian: ends it if this program is killed.
        seconds: that the import may take.
        records_patches: note what the app patches by itself.

    Raises:
        AppImportError: it does not import, or is no WSGI app; the text has the remedy.

    """
    request = {
        "app": app.spec,
        "folder": str(app.folder),
        "gevent": gevent,
        "tell_after": seconds * TELL_AFTER,
        "records_patches": records_patches,
        "patches": CHOOSES_AT_IMPORT,
        "distributions": DISTRIBUTIONS,
        "files": {
            "probe": import_probe.__file__,
            "objects": str(INSIDE / "objects.py"),
            "settings": str(INSIDE / "flask_settings.py"),
        },
    }
    try:
        outcome = run_script(app, INSIDE / "look.py", request, guardian=guardian, seconds=seconds)
    except MissingToolError as error:
        raise AppImportError(
            f"--python: {app.python} cannot be started. Was its virtual environment moved, or the"
            " Python removed that it was made with? Make it anew."
        ) from error
    return _understood(app, outcome, seconds)


def _understood(app: OwnApp, outcome: Outcome, seconds: float) -> Imported:
    report = outcome.result if isinstance(outcome.result, dict) else {}
    version = tuple(map(int, re.findall(r"\d+", report.get("python", ""))[:2]))
    not_understood = not report and "look.py" in outcome.output and "SyntaxError" in outcome.output
    if (version and version < OLDEST_PYTHON) or not_understood:
        which = report.get("python", "of long ago")
        raise AppImportError(
            f"--python: {app.python} is Python {which}; gevent and the servers here need"
            f" {'.'.join(map(str, OLDEST_PYTHON))} or newer"
        )
    if "error" in report:
        raise AppImportError(_why_it_failed(app, report["error"], report["candidates"]))
    if not report.get("complete"):
        raise AppImportError(_why_it_did_not_end(app, outcome, report, seconds))
    if report["kind"] in NOT_CALLED:
        raise AppImportError(NOT_CALLED[report["kind"]].format(spec=app.spec, type=report["type"]))
    try:
        return IMPORTED.validate_python({k: v for k, v in report.items() if k != "complete"})
    except ValidationError as error:  # whatever it was, it came from the app's side
        raise AppImportError(f"what {app.spec} shows of itself is in disorder: {error}") from error


def _why_it_failed(app: OwnApp, error: Mapping[str, Any], candidates: list[str]) -> str:
    told = f"{app.spec} cannot be imported from {app.folder} by {app.python}:\n"
    told += FRAMES_OF_THE_IMPORT.sub("", str(error["traceback"])).rstrip()
    # an ImportError of something that the module lacks names that module, too
    missing = error["missing_module"] if error["type"] == "ModuleNotFoundError" else None
    if missing and error["app_is_missing"]:
        remedy = f"there is no module {missing} in {app.folder}; --app-dir names another folder"
    elif missing:
        top = missing.partition(".")[0]
        remedy = (
            f"the module {missing} is not there. Is --python the interpreter of the app's own"
            f" virtual environment? If it is: {app.python} -m pip install"
            f" {INSTALLED_BY.get(top, top)}"
        )
    elif error["variable"]:
        remedy = (
            f"it needs the environment variable {error['variable']}: write {error['variable']}=…"
            " into a file and give it with --env-file"
        )
    elif error["type"] in ASKS_FOR_SETTINGS:
        remedy = "if it needs variables of its environment, --env-file gives it some"
    elif error["type"] == "SystemExit":
        remedy = f"it calls sys.exit({error['text']}) when it is imported"
    elif error["type"] == "TypeError" and app.spec.endswith("()") and "required" in error["text"]:
        remedy = "a factory that takes arguments needs a module of yours that calls it"
    elif candidates and error["type"] == "AttributeError":
        module = app.module
        remedy = f"{module} has {', '.join(f'{module}:{name}' for name in candidates)}"
    else:
        remedy = "it raises when it is imported, and would when a server starts it"
    return f"{told}\n{remedy}"


def _why_it_did_not_end(
    app: OwnApp, outcome: Outcome, report: Mapping[str, Any], seconds: float
) -> str:
    told = f"{app.spec} cannot be imported from {app.folder} by {app.python}: "
    code = outcome.exit_code
    if code is None:
        place = _where_it_hangs(app, report.get("hangs_at", []))
        told += (
            f"not done within {seconds:g} s{place}. Nothing at a module's top level may wait or"
            ' serve: move it below if __name__ == "__main__". If it only is slow: --time-limit'
        )
    elif code < 0:
        told += f"the process was ended by signal {-code}"
    else:
        told += f"the process ended with status {code} in the middle of it (os._exit?)"
    return f"{told}. The end of its output:\n{outcome.output}"


def _where_it_hangs(app: OwnApp, stack: list[list[Any]]) -> str:
    """Name the innermost line of the app's own folder, or else the innermost of all."""
    own = [
        f for f in stack if str(f[0]).startswith(f"{app.folder}/") and "site-packages" not in f[0]
    ]
    for file, line, function in own or stack:
        inside = "" if function == "<module>" else f", in {function}()"
        return f"; it is at {file}:{line}{inside}"
    return ""
