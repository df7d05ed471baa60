"""What a server's settings come to, its own defaults included."""

from bench.doctor.configuration.model import Server, Setting
from bench.doctor.findings import Evidence

FILES_BESIDE = 64
"""Files of a server beside its connections, as in `bench.preflight.capacity`."""
FILES_PER_REQUEST = 2
"""The client's connection, and one to an API or a database."""
TERM = ("15", "TERM", "SIGTERM")


def worker_class(server: Server) -> str:
    """Return gunicorn's worker class by its short name, such as ``gthread``."""
    given = server.settings.text("worker_class", default="sync").lower()
    if "gevent" in given:
        return "gevent_pywsgi" if "pywsgi" in given or given == "gevent_wsgi" else "gevent"
    for name in ("eventlet", "gthread", "tornado", "asgi", "uvicorn"):
        if name in given or (name == "gthread" and "threadworker" in given):
            return name
    if "sync" not in given:
        return given
    return "gthread" if (server.settings.number("threads", default=1) or 1) > 1 else "sync"


def is_gevent(server: Server) -> bool:
    """Say whether it serves requests in greenlets."""
    if server.kind == "uwsgi":
        return async_cores(server) is not None
    return server.kind == "gunicorn" and worker_class(server).startswith("gevent")


def async_cores(server: Server) -> Setting | None:
    """Return uWSGI's ``gevent``, or what it is short for: ``async`` with gevent's loop."""
    by_loop = server.settings.last("async") if server.settings.text("loop") == "gevent" else None
    return server.settings.last("gevent") or by_loop


def workers(server: Server) -> float | None:
    """Return the number of worker processes; ``None``: only known at the start."""
    return server.settings.number("workers", default=1)


def slots_per_process(server: Server) -> float | None:
    """Return how many requests a process holds at once; ``None``: only known at the start."""
    if server.kind == "uwsgi":
        cores = async_cores(server)
        return cores.number if cores else server.settings.number("threads", default=1)
    kind = worker_class(server)
    if kind.startswith("gevent"):
        return server.settings.number("worker_connections", default=1000)
    return server.settings.number("threads", default=1) if kind == "gthread" else 1.0


def files_needed(server: Server) -> float | None:
    """Return how many files a process may have open; ``None``: not known, or hardly any."""
    slots = slots_per_process(server)
    if slots is None or server.kind not in {"gunicorn", "uwsgi"}:
        return None
    return FILES_PER_REQUEST * slots + FILES_BESIDE


def on_term(server: Server) -> Setting | None:
    """Return the hook by which uWSGI's master takes SIGTERM for something else than a reload."""
    for hook in server.settings.every("hook-master-start"):
        signal = hook.text.partition("unix_signal:")[2].split()[:1]
        if signal and signal[0].upper() in TERM:
            return hook
    return None


def graceful_seconds(server: Server) -> float | None:
    """Return how long a server finishes requests after its stop signal; ``None``: it does not."""
    if server.kind == "gunicorn":
        return server.settings.number("graceful_timeout", default=30)
    if server.kind == "uwsgi" and on_term(server):
        return server.settings.number("worker-reload-mercy", default=60)
    return None


def place(server: Server, *names: str) -> Evidence:
    """Return where one of these settings is given, or where the server is started."""
    last = server.settings.last(*names)
    return last.evidence if last else server.evidence


def backlog(server: Server) -> tuple[float | None, Evidence]:
    """Return the length of the listen queue that it asks for, and where."""
    if server.kind == "uwsgi":
        return server.settings.number("listen", default=100), place(server, "listen")
    return server.settings.number("backlog", default=2048), place(server, "backlog")
