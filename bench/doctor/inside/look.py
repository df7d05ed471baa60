"""Run by the app's own interpreter: import the app as an entrypoint does, and report what is there.

Called with two paths: a request and where to write the result, both JSON. Nothing but the standard
library, and no later Python than 3.8: it runs where the app runs. No handler is ever called.
"""

# ruff: noqa: ANN401 - an app's objects may be anything

from __future__ import annotations

import _thread
import importlib
import importlib.util
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

MOST_OUTPUT = 16 * 1024 * 1024
"""Bytes: an app that prints without end meets an error instead of filling the disk."""
HELPERS = ("probe", "objects", "settings")
FACTORIES = ("create_app", "make_app", "app_factory")
START_THREAD = _thread.start_new_thread
SLEEP = time.sleep
"""Kept from before the patch: what watches the import must not depend on the loop."""


class Result:
    """What is known so far, on the disk whenever something is added."""

    def __init__(self, file: Path) -> None:
        self.facts: dict[str, Any] = {}
        self.greenlet: Any = None
        self._file = file

    def add(self, **facts: Any) -> None:
        """Keep what is known now."""
        self.facts.update(facts)
        self.write(self.facts, ".new")

    def write(self, facts: dict[str, Any], suffix: str) -> None:
        """Write it whole or not at all; each writer needs a suffix of its own."""
        beside = Path(str(self._file) + suffix)
        beside.write_text(json.dumps(facts), "utf-8")
        beside.replace(self._file)


def main(asked: str, answered: str) -> None:
    """Import the app and look."""
    request = json.loads(Path(asked).read_text("utf-8"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_OUTPUT, MOST_OUTPUT))
    sys.argv[:] = ["flask-bench"]  # an app that reads arguments finds a program without any
    result = Result(Path(answered))
    result.add(python=".".join(map(str, sys.version_info[:3])), prefix=sys.prefix)
    watch(result, request["tell_after"])
    if request["gevent"]:
        result.add(**patch())
    if "greenlet" in sys.modules:
        result.greenlet = sys.modules["greenlet"].getcurrent()
    probe, objects, settings = (load(name, request["files"][name]) for name in HELPERS)
    early: set[str] = set()
    late = record_late_patches(request["patches"], early) if request["records_patches"] else {}
    before = signals()
    found, loaded, app = imported(request["app"], probe)
    result.add(**found, **late, distributions=probe.distributions(request["distributions"]))
    if loaded is not None:
        here = objects.Scene(request["folder"], loaded, before, early)
        result.add(**objects.everything(here))
        result.add(flask_app=settings.flask_app(app), complete=True)
    try:
        sys.stdout.flush()
    finally:  # a full output is an error, too
        os._exit(0)  # threads of the app's must not hold this up


def watch(result: Result, seconds: float) -> None:
    """Report where the import is, shortly before its time is over."""
    importer = _thread.get_ident()

    def late() -> None:
        SLEEP(seconds)
        frame = getattr(result.greenlet, "gr_frame", None)  # set while the loop runs instead of it
        frame = frame or sys._current_frames().get(importer)
        stack = []
        while frame is not None:
            stack.append([frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name])
            frame = frame.f_back
        result.write(dict(result.facts, hangs_at=stack), ".late")

    START_THREAD(late, ())


def patch() -> dict[str, Any]:
    """Do what flask_app/patched.py, pywsgi.py and gunicorn_gevent.conf.py do first."""
    try:
        import gevent  # noqa: PLC0415
        from gevent import monkey  # noqa: PLC0415
    except Exception as error:  # noqa: BLE001 - an older greenlet is a ValueError
        return {"gevent": None, "gevent_error": f"{type(error).__name__}: {error}"}
    monkey.patch_all()
    found = {"gevent": gevent.__version__}
    if importlib.util.find_spec("psycopg2"):
        try:
            from psycogreen.gevent import patch_psycopg  # noqa: PLC0415

            patch_psycopg()
        except Exception as error:  # noqa: BLE001
            found["psycogreen_error"] = f"{type(error).__name__}: {error}"
    return found


def record_late_patches(sensitive: list[str], early: set[str]) -> dict[str, Any]:
    """Note each patch that the app makes by itself: from where, and what was there before it.

    Into ``early`` go all modules that were there before the first.
    """
    try:
        from gevent import events  # noqa: PLC0415
    except Exception:  # noqa: BLE001
        return {}
    calls: list[dict[str, Any]] = []

    def on_event(event: Any) -> None:
        if type(event).__name__ != "GeventWillPatchAllEvent":
            return
        if not calls:
            early.update(sys.modules)
        frame = sys._getframe()
        while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] in OURS:
            frame = frame.f_back
        loaded = [name for name in sensitive if name in sys.modules]
        calls.append({"file": frame.f_code.co_filename, "line": frame.f_lineno, "loaded": loaded})

    events.subscribers.append(on_event)
    return {"patch_calls": calls}


OURS = ("__main__", "gevent", "zope")


def signals() -> dict[int, Any]:
    """Return the handler of each signal."""
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def imported(spec: str, probe: Any) -> tuple[dict[str, Any], Any, Any]:
    """Import the app; return what it is or the error, its module and itself."""
    module, _, called = spec.partition(":")
    name = called.split("(")[0] or "app"
    loaded = None
    try:
        loaded = importlib.import_module(module)
        app = getattr(loaded, name)
        if called.endswith("()"):
            app = app()
    except BaseException as error:  # noqa: BLE001 - SystemExit too: it is told, not followed
        told = probe.described(error, module)
        told["variable"] = variable(error)
        return {"error": told, "candidates": candidates(loaded)}, None, None
    return (
        {
            "kind": probe.kind(app),
            "type": "{0.__module__}.{0.__qualname__}".format(type(app)),
            "file": getattr(loaded, "__file__", None),
        },
        loaded,
        app,
    )


def variable(error: BaseException) -> str | None:
    """Return the environment variable that is not there, if that is the error."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None or not isinstance(error, KeyError):
        return None
    return str(error.args[0]) if last.tb_frame.f_globals.get("__name__") == "os" else None


def candidates(loaded: Any) -> list[str]:
    """Return what might have been meant: names of Flask apps, and of what makes them."""
    found = []
    for name, value in vars(loaded or object).items():
        families = {base.__module__.partition(".")[0] for base in type(value).__mro__}
        if "flask" in families and hasattr(type(value), "wsgi_app"):
            found.append(name)
        elif name in FACTORIES and callable(value):
            found.append(name + "()")
    return found


def load(name: str, file: str) -> Any:
    """Import a file under a name that no module of an app has."""
    spec = importlib.util.spec_from_file_location("_flask_bench_" + name, file)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


if __name__ == "__main__":
    # The app is looked for where it will be when it is served, and never beside this file.
    sys.path.pop(0)
    sys.path.insert(0, "")
    main(*sys.argv[1:])
