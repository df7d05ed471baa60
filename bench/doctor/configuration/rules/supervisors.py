"""Images, services, pods, units and scripts: what is started, as whom, and who gets the signals."""

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from bench.doctor.configuration.model import Facts, Rule, Seen, Server, Supervisor, seen
from bench.doctor.findings import Check, Evidence

ROOT = ("", "0", "root")
DEVELOPMENT = re.compile(r"(?:^|[._-])(?:dev|devel|development|local|debug)(?:[._-]|$)")
"""In the name of a file: Dockerfile.dev, Procfile.dev, run-dev.sh."""
NOT_DEBUG = ("0", "false", "no")
"""Values of FLASK_DEBUG that leave it off: flask.helpers.get_debug_flag."""
DROPS = frozenset({"gosu", "su-exec", "setpriv", "chpst"})
"""Launchers that give up root."""
FEW_FILES = 1024
"""The soft limit that systemd gives where a unit says nothing: systemd.exec(5)."""


def _development(facts: Facts) -> Iterator[tuple[Server, str, tuple[Evidence, ...]]]:
    """Yield servers that are for development, what they are, and where that is seen."""
    for server in facts.of("flask", "python"):
        run = server.settings.last("app-run")
        if server.kind == "flask":
            yield server, "flask run", (server.evidence,)
        elif run:
            yield server, "app.run()", (server.evidence, run.evidence)


def _debugging(supervisors: Sequence[Supervisor]) -> Iterator[tuple[Supervisor, Evidence]]:
    for supervisor in supervisors:
        value = supervisor.environment.get("FLASK_DEBUG")
        if value and value.lower() not in NOT_DEBUG:
            yield supervisor, supervisor.variables["FLASK_DEBUG"]


def _for_development(supervisor: Supervisor | None) -> bool:
    if supervisor is None:
        return False
    name = PurePosixPath(supervisor.evidence.file or "").name.lower()
    return supervisor.kind == "compose" or DEVELOPMENT.search(name) is not None


def _dev_server(facts: Facts) -> Iterator[Seen]:
    for server, what, places in _development(facts):
        if not _for_development(server.supervisor):
            yield seen(f"{what} is what is started", *places)


def _debug(facts: Facts) -> Iterator[Seen]:
    for supervisor, place in _debugging(facts.supervisors):
        if not _for_development(supervisor):
            yield seen("FLASK_DEBUG is on", place)
    for server in facts.of("flask"):
        if server.settings.on("debug") and not _for_development(server.supervisor):
            yield seen("flask run has --debug", server.evidence)


def _in_compose(facts: Facts) -> Iterator[Seen]:
    for server, what, places in _development(facts):
        if _for_development(server.supervisor):
            yield seen(f"this service starts {what}", *places)
    for supervisor, place in _debugging(facts.supervisors):
        if _for_development(supervisor):
            yield seen(f"service {supervisor.name} has FLASK_DEBUG on", place)


def _as_root(facts: Facts) -> Iterator[Seen]:
    for server in facts.servers:
        supervisor = server.supervisor
        if supervisor is None or server.kind == "nginx":  # which gives up its rights by itself
            continue
        if server.command and not DROPS.isdisjoint(" ".join(server.command.words).split()):
            continue
        user = supervisor.settings.last("user")
        if server.settings.text("uid", "user") or (user and user.text.split(":")[0] not in ROOT):
            continue
        place = user.evidence if user else _without_user(supervisor)
        if place is not None:
            given = f"the user is {user.text}" if user else "no other user than root is given"
            yield seen(f"{given}: {server.kind} has all rights", place)


def _without_user(supervisor: Supervisor) -> Evidence | None:
    """Return where a user is missing; ``None``: nothing is known of it, or no place is right."""
    if supervisor.kind in {"docker", "systemd"}:
        return supervisor.evidence
    # of a service what its own Dockerfile says: an image from elsewhere may have a user
    built = [each.evidence for each in supervisor.settings.every("image")]
    return next((each for each in built if each.text.upper().startswith("FROM ")), None)


def _shell_form(facts: Facts) -> Iterator[Seen]:
    for server in facts.servers:
        command, supervisor = server.command, server.supervisor
        if supervisor is None or not (supervisor.is_container or supervisor.kind == "script"):
            continue
        if server.kind == "python" and not server.settings.last("app-run"):
            continue  # manage.py migrate and its like come to an end
        if command and command.behind_shell:
            yield seen(f"a shell stays in front of {server.kind}", command.evidence)


def _kill_mode(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("uwsgi", "gunicorn"):
        supervisor = server.supervisor
        if supervisor is None or supervisor.kind != "systemd":
            continue
        mode = supervisor.settings.text("kill-mode", default="control-group")
        setting = supervisor.settings.last("kill-mode")
        if mode in {"process", "none"} or (server.kind == "uwsgi" and mode == "control-group"):
            yield seen(f"KillMode is {mode}", setting.evidence if setting else supervisor.evidence)


RULES: tuple[Rule, ...] = (
    Rule(
        Check(
            "dev-server", "error", "Flask's development server in production",
            "It has no bound on threads, no limit on anything, no workers and no graceful stop.",
            "Flask's documentation, Deploying to production",
            "Start the app by gunicorn, uWSGI or pywsgi: flask_app/ has a file for each.",
        ),
        _dev_server,
    ),
    Rule(
        Check(
            "debug-in-production", "error", "Debug mode in production",
            "Its debugger executes code for whoever gets to an error page, and its reloader runs"
            " the app twice.",
            "Flask's documentation, Debugging application errors",
            "Remove FLASK_DEBUG and --debug.",
        ),
        _debug,
    ),
    Rule(
        Check(
            "dev-server-in-compose", "note", "A Compose file for development",
            "It starts the development server or its debug mode: right where one develops, and"
            " nowhere else.",
            "Flask's documentation, Deploying to production",
            "Let no production service extend it.",
        ),
        _in_compose,
    ),
    Rule(
        Check(
            "runs-as-root", "warning", "The server runs as root",
            "Whoever gets into the app has all rights in the container, and is a step nearer to the"
            " machine.",
            "Docker's documentation, Building best practices: USER",
            "Set USER 10001:10001 (Dockerfile), user: (Compose), runAsUser (Kubernetes) or User="
            " (systemd).",
        ),
        _as_root,
    ),
    Rule(
        Check(
            "shell-form", "warning", "The stop signal may not arrive",
            "A shell is between the supervisor and the server. Unless it happens to replace itself,"
            " it gets the SIGTERM and passes nothing on: the server is killed after the grace.",
            "Docker's documentation, Dockerfile reference: shell and exec form",
            "Write the command in exec form, CMD [\"gunicorn\", …], or put exec before it.",
        ),
        _shell_form,
    ),
    Rule(
        Check(
            "systemd-kill-mode", "warning", "The stop signal goes to the wrong processes",
            "control-group sends SIGTERM to uWSGI's workers, too, which end at once and drop their"
            " requests; process and none leave workers behind.",
            "systemd.kill(5); measured with uWSGI 2.0.31: all requests in flight were dropped",
            "Set KillMode=mixed: the signal to the master, the kill, if need be, to all.",
        ),
        _kill_mode,
    ),
)  # fmt: skip
