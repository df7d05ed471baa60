"""What an import left in its process: threads, connections, pools, locks, settings.

Loaded by look.py in the app's own interpreter, so no later Python than 3.8. Types are compared by
``type(…)`` and never by ``isinstance``: a proxy would ask for what it stands for.
"""

# ruff: noqa: ANN401 - an app's objects may be anything

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path
from typing import Any

WATCHED_SIGNALS = (
    *("SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGCHLD", "SIGABRT", "SIGUSR1", "SIGUSR2"),
    *("SIGWINCH", "SIGTTIN", "SIGTTOU"),
)
"""What gunicorn and uWSGI are told by."""
DRIVERS = (
    *("MySQLdb", "pyodbc", "oracledb", "cx_Oracle", "ibm_db", "pymssql", "confluent_kafka"),
    *("pylibmc", "aerospike", "psycopg2", "psycopg", "grpc", "grpc.experimental.gevent", "urllib3"),
)
BLOCKS = ("socket", "ssl", "select", "selectors", "time", "subprocess", "os", "queue")
"""Modules whose originals wait: what was taken from the others is a lock that is held briefly."""
LOCKS = ("lock", "RLock", "_RLock")


class Scene:
    """What was imported, and what there was before."""

    def __init__(self, folder: str, loaded: Any, signals: dict[int, Any], early: set[str]) -> None:
        self.folder = os.path.realpath(folder) + os.sep
        self.signals = signals
        self.early = early
        self.top = loaded.__name__.partition(".")[0]
        file = os.path.realpath(getattr(loaded, "__file__", None) or "")
        self.in_folder = file.startswith(self.folder) and not self._installed(file)

    def own(self) -> dict[str, str]:
        """Return module → file of all that is the app's own: its folder's, or its package's."""
        found = {}
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if type(file) is str and file.endswith(".py") and name != "__main__":
                place = os.path.realpath(file)
                inside = self.in_folder and place.startswith(self.folder)
                if name.partition(".")[0] == self.top or (inside and not self._installed(place)):
                    found[name] = place
        return found

    def named(self) -> Any:
        """Yield module, name and value of all that the own modules have at their top level."""
        for module in self.own():
            for name, value in list(vars(sys.modules[module]).items()):
                yield module, name, value

    def _installed(self, file: str) -> bool:
        """Tell whether a file belongs to a virtual environment, which may be in the folder."""
        below_prefix = file.startswith(os.path.realpath(sys.prefix) + os.sep)
        prefix_is_below = os.path.realpath(sys.prefix).startswith(self.folder)
        return installed(file) or (below_prefix and prefix_is_below)


def installed(file: str) -> bool:
    """Tell whether a file came with a distribution."""
    return bool({"site-packages", "dist-packages"} & set(Path(file).parts))


def everything(scene: Scene) -> dict[str, Any]:
    """Return all that is seen; what could not be looked at is told under ``unseen``."""
    found: dict[str, Any] = {"unseen": {}}
    for look in (
        own, drivers, threads, schedulers, connections, patched_socket, references, taken, locks,
        http_sessions, engines, psycopg2, database_connections, pools, changed_signals,
    ):  # fmt: skip
        try:
            found[look.__name__] = look(scene)
        except Exception as error:  # noqa: BLE001 - an app's objects may do anything when asked
            found["unseen"][look.__name__] = f"{type(error).__name__}: {error}"
    return found


def own(scene: Scene) -> dict[str, str]:
    """Return the own modules."""
    return scene.own()


def drivers(_: Scene) -> list[str]:
    """Return which of `DRIVERS` are loaded; oracledb only in its thick mode."""
    found = [name for name in DRIVERS if name in sys.modules]
    if "oracledb" in found and not hasattr(sys.modules["oracledb"], "is_thin_mode"):
        return found
    thin = "oracledb" in found and sys.modules["oracledb"].is_thin_mode()
    return [name for name in found if not (thin and name == "oracledb")]


def threads(scene: Scene) -> list[dict[str, Any]]:
    """Return the threads that run code of the app's own."""
    threading = sys.modules.get("threading")
    if threading is None:
        return []
    files, found = set(scene.own().values()), []
    for thread in threading.enumerate():
        run = getattr(thread, "_target", None) or type(thread).run
        code = getattr(getattr(run, "__func__", run), "__code__", None)
        if code is not None and os.path.realpath(code.co_filename) in files:
            found.append({"name": thread.name, "code": place(code)})
    return found


def schedulers(_: Scene) -> list[str]:
    """Return the running schedulers of APScheduler."""
    if "apscheduler" not in sys.modules:
        return []
    return [
        type(each).__name__
        for each in gc.get_objects()
        if str(type(each).__module__).startswith("apscheduler.schedulers.")
        and type(each).__name__.endswith("Scheduler")
        and getattr(each, "running", False)
    ]


def connections(_: Scene) -> list[dict[str, str]]:
    """Return the streams that are connected: over TCP, or to a socket that has a name."""
    import _socket  # noqa: PLC0415 - the unpatched one

    found = []
    for name in os.listdir("/dev/fd"):  # noqa: PTH208
        try:
            number = os.dup(int(name))
        except (OSError, ValueError):
            continue
        try:
            connected = _socket.socket(fileno=number)
        except OSError:
            os.close(number)
            continue
        try:
            peer = connected.getpeername()
            family, kind = connected.family, connected.type
        except OSError:
            continue
        finally:
            connected.close()
        if kind != _socket.SOCK_STREAM:
            continue
        if family in (_socket.AF_INET, _socket.AF_INET6):
            found.append({"fd": name, "peer": f"{peer[0]}:{peer[1]}"})
        elif family == _socket.AF_UNIX and type(peer) is str and peer:
            found.append({"fd": name, "peer": peer})
    return found


def patched_socket(_: Scene) -> dict[str, Any]:
    """Return what ``socket.socket`` is now, and what eventlet has patched."""
    import socket  # noqa: PLC0415

    patcher = sys.modules.get("eventlet.patcher")
    bases = [base.__module__.partition(".")[0] for base in socket.socket.__mro__]
    return {
        "type": f"{socket.socket.__module__}.{socket.socket.__qualname__}",
        "cooperative": "gevent" in bases,
        "eventlet": sorted(getattr(patcher, "already_patched", ())),
    }


def references(scene: Scene) -> list[dict[str, str]]:
    """Return the names of own modules that still are what gevent has replaced."""
    return still_original(scene.named())


def taken(scene: Scene) -> list[dict[str, str]]:
    """Return the same of installed modules from before the app's own patch, where it waits."""
    known, found = set(scene.own()), []
    for module in sorted(scene.early - known):
        file = getattr(sys.modules.get(module), "__file__", None)
        if type(file) is not str or module.partition(".")[0] in ("gevent", "greenlet"):
            continue
        if installed(file):
            every = list(vars(sys.modules[module]).items())
            found += still_original((module, name, value) for name, value in every)
    return [each for each in found if each["what"].partition(".")[0] in BLOCKS]


def still_original(named: Any) -> list[dict[str, str]]:
    """Return those of (module, name, value) whose value gevent has replaced elsewhere."""
    saved = getattr(sys.modules.get("gevent.monkey"), "saved", None) or {}
    originals = {
        id(value): f"{module}.{name}"
        for module, names in saved.items()
        if isinstance(names, dict)
        for name, value in names.items()
        if callable(value) and not name.startswith("_")
    }
    return [
        {"module": module, "name": name, "what": originals[id(value)]}
        for module, name, value in named
        if id(value) in originals
    ]


def locks(scene: Scene) -> list[dict[str, str]]:
    """Return the locks of own modules that are of the operating system."""
    if not getattr(sys.modules.get("gevent.monkey"), "saved", None):
        return []
    return [
        {"module": module, "name": name, "what": f"_thread.{type(value).__name__}"}
        for module, name, value in scene.named()
        if type(value).__module__ == "_thread" and type(value).__name__ in LOCKS
    ]


def http_sessions(scene: Scene) -> list[dict[str, Any]]:
    """Return the ``requests`` sessions of own modules, each with its smallest pool."""
    requests = sys.modules.get("requests")
    kind = getattr(requests, "Session", None)
    return [
        {
            "module": module,
            "name": name,
            "maxsize": min(
                (
                    getattr(adapter, "_pool_maxsize", None) or 0
                    for adapter in value.adapters.values()
                ),
                default=0,
            ),
        }
        for module, name, value in scene.named()
        if kind is not None and type(value) is kind
    ]


def engines(_: Scene) -> list[dict[str, Any]]:
    """Return SQLAlchemy's engines with their pools."""
    kind = getattr(sys.modules.get("sqlalchemy.engine.base"), "Engine", None)
    if kind is None:
        return []
    found = []
    for each in gc.get_objects():
        if type(each) is kind:
            pool, dialect = each.pool, each.dialect
            size = getattr(pool, "size", None)
            found.append(
                {
                    "dialect": dialect.name,
                    "driver": dialect.driver,
                    "url": shown(each.url),
                    "pool": type(pool).__name__,
                    "size": size() if callable(size) else None,
                    "overflow": getattr(pool, "_max_overflow", None),
                    "timeout": getattr(pool, "_timeout", None),
                }
            )
    return found


def shown(url: Any) -> str:
    """Return an address without its password, and without arguments, which may hold one, too."""
    if not hasattr(url, "set"):  # SQLAlchemy 1.3
        return repr(url).partition("?")[0]
    return str(url.set(query={}).render_as_string(hide_password=True))


def psycopg2(_: Scene) -> dict[str, Any] | None:
    """Return whether psycopg2 waits together with the loop; ``None`` if it is not loaded."""
    extensions = sys.modules.get("psycopg2.extensions")
    if extensions is None:
        return None
    return {"green": extensions.get_wait_callback() is not None}


def database_connections(scene: Scene) -> list[dict[str, str]]:
    """Return the database connections that own modules hold by a name of their own."""
    kinds = (
        ("psycopg2.extensions", "connection"), ("psycopg", "Connection"),
        ("pymysql.connections", "Connection"), ("MySQLdb.connections", "Connection"),
    )  # fmt: skip
    known = [getattr(sys.modules.get(module), name, None) for module, name in kinds]
    return [
        {"module": module, "name": name, "what": f"{type(value).__module__}.connection"}
        for module, name, value in scene.named()
        if any(kind is not None and kind in type(value).__mro__ for kind in known)
    ]


def pools(_: Scene) -> list[dict[str, Any]]:
    """Return the pools of psycopg_pool with their most connections."""
    if "psycopg_pool" not in sys.modules:
        return []
    kinds = [
        getattr(sys.modules["psycopg_pool"], n) for n in ("ConnectionPool", "NullConnectionPool")
    ]
    return [
        {"kind": type(each).__name__, "max": each.max_size}
        for each in gc.get_objects()
        if type(each) in kinds
    ]


def changed_signals(scene: Scene) -> list[dict[str, Any]]:
    """Return the signals that servers use and that now have a handler of the app's own."""
    files = set(scene.own().values())
    found: list[dict[str, Any]] = []
    for name in WATCHED_SIGNALS:
        number = getattr(signal, name, None)
        now = signal.getsignal(number) if number is not None else None
        if number is None or now is scene.signals.get(number):
            continue
        code = getattr(getattr(now, "__func__", now), "__code__", None)
        if code is None:  # SIG_IGN, SIG_DFL, or written in C
            found.append({"signal": name, "handler": str(now), "code": None})
        elif os.path.realpath(code.co_filename) in files:
            found.append({"signal": name, "handler": code.co_name, "code": place(code)})
    return found


def place(code: Any) -> dict[str, Any]:
    """Return where a function begins."""
    return {"file": os.path.realpath(code.co_filename), "line": code.co_firstlineno}
