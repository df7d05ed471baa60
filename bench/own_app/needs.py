"""Whether an app can be served as it is: it imports, and its interpreter has the servers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UsageError
from bench.model import Deployment
from bench.own_app.app import OwnApp
from bench.own_app.scripts import IMPORT_WITHIN, Outcome, run_script
from bench.processes.guardian import Guardian

PROBE = Path(__file__).with_name("import_probe.py")
PSYCOPG2 = ("psycopg2", "psycopg2-binary")
SERVERS: Mapping[str, tuple[str, ...]] = {"uwsgi": ("uwsgi", "pyuwsgi"), "werkzeug": ("flask",)}
"""Server → the distributions that have it, where its own name is not the only one."""
INSTALLED_BY = {"uwsgi": "pyuwsgi"}
"""What to install: the one with wheels, for uWSGI itself wants a C compiler."""
ASKED_ABOUT = (
    "flask", "werkzeug", "django", "pyramid", "bottle", "falcon", "gevent", "greenlet", "gunicorn",
    "packaging", "uwsgi", "pyuwsgi", "psycogreen", *PSYCOPG2, "psycopg", "sqlalchemy", "requests",
    "urllib3", "httptools", "geventhttpclient",
)  # fmt: skip
NOT_CALLED = {
    "asgi": (
        "{spec} is an ASGI app ({type}), and the servers here speak WSGI. peers/ shows how such an"
        " app is served: `make bench-peers` measures uvicorn, Granian and Hypercorn"
    ),
    "factory": "{spec} is a {type} that makes the app: say {spec}()",
    "none": "{spec} is a {type}, which no server can call: name the WSGI app itself",
}


@dataclass(frozen=True)
class AppFacts:
    """What the app's interpreter says."""

    kind: str
    """``flask`` or ``wsgi``."""
    python: str
    versions: Mapping[str, str]
    """Distribution → version, of those in `ASKED_ABOUT` that it has."""


def examine(app: OwnApp, guardian: Guardian, *, seconds: float = IMPORT_WITHIN) -> AppFacts:
    """Import the app in its own interpreter, and return what that shows.

    Raises:
        UsageError: it cannot be imported, or is nothing that a WSGI server can call; the text has
            what it said, and what to do.

    """
    outcome = run_script(
        app,
        PROBE,
        {"app": app.spec, "distributions": ASKED_ABOUT},
        guardian=guardian,
        seconds=seconds,
    )
    report = outcome.result
    if not isinstance(report, dict) or "kind" not in report:
        raise UsageError(_why_not(app, outcome, seconds))
    if report["kind"] in NOT_CALLED:
        text = NOT_CALLED[report["kind"]]
        raise UsageError(text.format(spec=app.spec, type=report["type"]))
    return AppFacts(report["kind"], report["python"], report["distributions"])


def lacking(versions: Collection[str], deployments: Sequence[Deployment]) -> tuple[str, ...]:
    """Return what has to be installed beside an app, so that the deployments can serve it."""
    wanted: dict[str, None] = {}
    for deployment in deployments:
        if not {*SERVERS.get(deployment.server, (deployment.server,))} & {*versions}:
            wanted[INSTALLED_BY.get(deployment.server, deployment.server)] = None
        if deployment.async_cores and "gevent" not in versions:
            wanted["gevent"] = None
        if worker_needs_packaging(deployment) and "packaging" not in versions:
            wanted["packaging"] = None
        if deployment.async_cores and {*PSYCOPG2} & {*versions} and "psycogreen" not in versions:
            wanted["psycogreen"] = None
    return tuple(wanted)


def worker_needs_packaging(deployment: Deployment) -> bool:
    """Return whether it is gunicorn's gevent worker, which imports it without requiring it."""
    return deployment.server == "gunicorn" and deployment.async_cores is not None


def unsuitable(deployment: Deployment, facts: AppFacts) -> str | None:
    """Return why a deployment cannot serve this app, ``None`` if it can."""
    if deployment.group is not None:
        return "it serves an app of its own"
    if deployment.overlay is not None:
        return "this variant replaces modules of the demo app"
    if deployment.blocks_in:
        return "the control shows something about the demo app"
    if deployment.server == "werkzeug" and facts.kind != "flask":
        return "`flask run` serves Flask apps only"
    return None


def require(app: OwnApp, facts: AppFacts, deployments: Sequence[Deployment]) -> None:
    """Raise UsageError, with the line that installs it, if the app's interpreter lacks a server."""
    if missing := lacking(facts.versions, deployments):
        raise UsageError(
            f"{app.python} has no {', no '.join(missing)}, which"
            f" {', '.join(d.name for d in deployments)} need. Install what is missing:\n"
            f"  {app.python} -m pip install {' '.join(missing)}"
        )


def _install(app: OwnApp, module: str) -> str:
    """Return how an app gets a module that it lacks."""
    for name in (".venv", "venv", "env"):
        python = app.folder / name / "bin" / "python"
        if python.exists() and python != app.python:
            return f"\nThe folder has a virtual environment of its own: --python {python}"
    return (
        "\nIs --python the interpreter of the app's own virtual environment? If it is:"
        f" {app.python} -m pip install {module}"
    )


def _why_not(app: OwnApp, outcome: Outcome, seconds: float) -> str:
    report = outcome.result if isinstance(outcome.result, dict) else {}
    error = report.get("error")
    where = f"{app.spec} in {app.folder}, with {app.python}"
    if error is None:
        how = f"ended its process with status {outcome.exit_code}"
        if outcome.exit_code is None:
            how = f"did not end within {seconds:g} s: something at its top level waits or loops"
        elif outcome.exit_code < 0:
            how = f"was ended by signal {-outcome.exit_code}"
        return f"importing {where}, {how}. The end of what it said:\n{outcome.output}"
    remedy = ""
    if error["type"] == "ModuleNotFoundError" and error["app_is_missing"]:
        remedy = "\nIs --app-dir the folder that it is imported from?"
    elif error["type"] == "ModuleNotFoundError" and error["missing_module"]:
        remedy = _install(app, error["missing_module"].partition(".")[0])
    elif error["type"] == "KeyError":
        remedy = "\nIf this is a variable of its environment: --env-file gives it some."
    elif error["type"] == "AttributeError" and app.module in error["text"]:
        remedy = "\nName the app as it is called there: module:app or module:create_app()."
    elif error["type"] == "SystemExit":
        remedy = "\nIt calls sys.exit() when it is imported."
    return f"importing {where} failed:\n{error['traceback'].rstrip()}{remedy}"
