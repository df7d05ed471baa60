"""gunicorn: its workers, and what their settings mean."""

from collections.abc import Iterator

from packaging.version import InvalidVersion, Version

from bench.doctor.configuration.model import Facts, Rule, Seen, seen
from bench.doctor.configuration.rules import servers
from bench.doctor.findings import Check

HIGH_TIMEOUT = 120
"""Seconds; who sets that much wants slow requests to live."""


def _at_least(facts: Facts, version: str) -> bool | None:
    """Say whether the installed gunicorn is one of these; ``None``: not known."""
    try:
        return Version(facts.versions["gunicorn"]) >= Version(version)
    except (KeyError, InvalidVersion):
        return None


def _unreadable(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("gunicorn"):
        if error := server.settings.last("unreadable"):
            yield seen(f"the configuration could not be evaluated: {error.text}", error.evidence)


def _eventlet(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("gunicorn"):
        gone = _at_least(facts, "26") is not False
        if gone and servers.worker_class(server) == "eventlet":
            yield seen("worker_class is eventlet", servers.place(server, "worker_class"))


def _preload(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("gunicorn"):
        setting = server.settings.on("preload_app")
        if setting and servers.is_gevent(server) and not server.patches_first:
            yield seen(
                "preload_app imports the app before gunicorn's gevent worker patches",
                setting.evidence,
            )


def _one_at_a_time(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("gunicorn"):
        if servers.worker_class(server) == "sync" and servers.workers(server) == 1:
            yield seen(
                "one sync worker: one request at a time",
                servers.place(server, "workers", "worker_class"),
            )


def _sync(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("gunicorn"):
        count = servers.workers(server)
        if servers.worker_class(server) == "sync" and count != 1:
            held = f"{count:g} requests" if count else "one request per worker"
            yield seen(
                f"sync workers hold {held} at once, in all",
                servers.place(server, "worker_class", "workers"),
            )


def _timeout_off(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("gunicorn"):
        setting = server.settings.last("timeout")
        if setting and setting.number == 0:
            yield seen("timeout = 0 lets a stuck worker be", setting.evidence)


def _timeout_high(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("gunicorn"):
        setting = server.settings.last("timeout")
        seconds = setting.number if setting else None
        kind = servers.worker_class(server)
        if setting and seconds and seconds >= HIGH_TIMEOUT and kind != "sync":
            yield seen(
                f"timeout = {setting.text} limits no request of a {kind} worker", setting.evidence
            )


def _reload(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("gunicorn"):
        if setting := server.settings.on("reload"):
            yield seen("reload is on", setting.evidence)


def _jitter(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("gunicorn"):
        setting = server.settings.last("max_requests")
        jitter = server.settings.number("max_requests_jitter", default=0)
        if setting and setting.number and jitter == 0 and servers.workers(server) != 1:
            yield seen(f"max_requests = {setting.text} without jitter", setting.evidence)


def _ignored_max_requests(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("gunicorn"):
        setting = server.settings.last("max_requests")
        if setting and setting.number and servers.worker_class(server) == "gevent_pywsgi":
            yield seen("max_requests beside the gevent_pywsgi worker", setting.evidence)


def _tmp_dir(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("gunicorn"):
        supervisor = server.supervisor
        if supervisor is None or not supervisor.is_container:
            continue
        folder = server.settings.text("worker_tmp_dir", default="/tmp")  # noqa: S108
        memory = {"/dev/shm", *(s.text for s in supervisor.settings.every("tmpfs"))}  # noqa: S108
        if "$" in folder:  # only known at the start
            continue
        if not any(f"{folder}/".startswith(f"{each}/") for each in memory):
            yield seen(
                f"the heartbeat files are in {folder} of a container",
                servers.place(server, "worker_tmp_dir"),
            )


def _few_connections(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("gunicorn"):
        held = server.settings.number("worker_connections", default=1000)
        place = servers.place(server, "worker_connections")
        kind = servers.worker_class(server)
        threads = server.settings.number("threads", default=1) or 1
        if held is None:
            continue
        if kind.startswith("gevent") and held < 100:  # noqa: PLR2004 - a burst is more
            yield seen(f"a worker holds {held:g} connections, idle ones included", place)
        if kind == "gthread" and held <= threads:
            yield seen(
                f"{held:g} connections for {threads:g} threads: none is left to keep alive", place
            )


def _access_log(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("gunicorn"):
        setting = server.settings.last("accesslog")
        if setting and setting.value and setting.text.lower() != "none":
            yield seen("gunicorn writes a line per request", setting.evidence)


def _control_socket(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("gunicorn"):
        if _at_least(facts, "25.1") and not server.settings.on("control_socket_disable"):
            yield seen("the control socket is on", servers.place(server, "control_socket_disable"))


RULES: tuple[Rule, ...] = (
    Rule(
        Check(
            "gunicorn-eventlet", "error", "eventlet is gone",
            "gunicorn has no eventlet worker any more from 26 on: it does not start.",
            "gunicorn's changes, 26.0",
            "Use worker_class = \"gevent\".",
        ),
        _eventlet,
    ),
    Rule(
        Check(
            "gunicorn-preload-unpatched", "error", "Preloaded before the patch",
            "With preload_app the app is imported before the worker patches: urllib3 keeps the"
            " unpatched SSLContext, and HTTPS calls end in a RecursionError.",
            "gunicorn#2796, gevent#1016",
            "Remove preload_app, or call gevent.monkey.patch_all() in the first line of the"
            " configuration file.",
        ),
        _preload,
    ),
    Rule(
        Check(
            "gunicorn-one-at-a-time", "warning", "One request at a time",
            "While one request waits, all others do: a slow client is enough.",
            "gunicorn's documentation, Design: sync workers",
            "Use worker_class = \"gthread\" with threads, or \"gevent\"; about a worker per core.",
        ),
        _one_at_a_time,
    ),
    Rule(
        Check(
            "gunicorn-sync", "note", "Sync workers",
            "Each worker holds one request. They suit an app that computes behind a proxy that"
            " buffers, and no app that waits for others.",
            "gunicorn's documentation, Design: choosing a worker type",
            "For an app that waits: worker_class = \"gthread\" with threads, or \"gevent\".",
        ),
        _sync,
    ),
    Rule(
        Check(
            "gunicorn-timeout-off", "warning", "No heartbeat",
            "A worker that hangs, such as one whose event loop is blocked, is never replaced.",
            "gunicorn#1955; gunicorn's documentation, Settings: timeout",
            "Set timeout = 60. It is the heartbeat of a worker, and under gevent or gthread no"
            " limit for a request.",
        ),
        _timeout_off,
    ),
    Rule(
        Check(
            "gunicorn-timeout-high", "note", "A heartbeat, not a limit for requests",
            "For gevent and gthread workers timeout is how long a worker may be silent: raised, it"
            " lets a blocked one be for that long, and allows no request more time.",
            "gunicorn#1955",
            "Set timeout = 60, and give each wait of the app its own limit.",
        ),
        _timeout_high,
    ),
    Rule(
        Check(
            "gunicorn-reload", "warning", "Reloading in production",
            "It watches all files, and restarts workers whatever they are doing.",
            "gunicorn's documentation, Settings: reload",
            "Set reload only where you develop, as an option on the command line.",
        ),
        _reload,
    ),
    Rule(
        Check(
            "gunicorn-no-jitter", "warning", "All workers restart together",
            "Workers get the same number of requests, reach max_requests together, and are then all"
            " importing the app at once.",
            "gunicorn's documentation, Settings: max_requests_jitter",
            "Set max_requests_jitter to a tenth of max_requests or more.",
        ),
        _jitter,
    ),
    Rule(
        Check(
            "gunicorn-max-requests-ignored", "warning", "max_requests does nothing here",
            "The gevent_pywsgi worker does not count requests.",
            "gunicorn#1331",
            "Use worker_class = \"gevent\".",
        ),
        _ignored_max_requests,
    ),
    Rule(
        Check(
            "gunicorn-tmp-dir", "warning", "Heartbeats on a disk",
            "Each worker touches a file every second; on a container's file system that can block"
            " it for long enough to be taken for dead.",
            "gunicorn's documentation, FAQ: blocking os.fchmod",
            "Set worker_tmp_dir = \"/dev/shm\".",
        ),
        _tmp_dir,
    ),
    Rule(
        Check(
            "gunicorn-few-connections", "warning", "Few connections per worker",
            "What is above it waits in the listen queue without a sign: no 503, and no line in a"
            " log. Idle kept-alive connections count, too.",
            "gunicorn's source, workers/ggevent.py and gthread.py",
            "Set worker_connections to 1000 or more; for gthread well above threads.",
        ),
        _few_connections,
    ),
    Rule(
        Check(
            "gunicorn-access-log", "note", "A line per request",
            "It costs CPU per request, and a proxy in front may write the same line.",
            "gunicorn's documentation, Settings: accesslog",
            "Keep one access log: the outermost one.",
        ),
        _access_log,
    ),
    Rule(
        Check(
            "gunicorn-control-socket", "note", "A control socket in the home folder",
            "It is on by default since 25.1, and shared by all instances of a user.",
            "gunicorn's changes, 25.1",
            "Set control_socket_disable = True.",
        ),
        _control_socket,
    ),
    Rule(
        Check(
            "gunicorn-unreadable", "note", "A configuration that needs more than is here",
            "It was executed in the app's interpreter as gunicorn does, and failed. Only settings"
            " that stand there as constants were looked at.",
            "gunicorn's documentation, Configuration file",
            "Give what it needs: --env-file for variables, --python for the app's interpreter.",
        ),
        _unreadable,
    ),
)  # fmt: skip
