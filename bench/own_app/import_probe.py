"""Run by the app's own interpreter: import the app, and report what came of it.

Called with two paths: a request (JSON: ``app``, ``distributions``) and where to write the result.
Nothing but the standard library, and no later Python than 3.8: it runs where the app runs.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import resource
import sys
import traceback
from typing import Any

MOST_OUTPUT = 16 * 1024 * 1024
"""Bytes: an app that prints without end meets an error instead of filling the disk."""

WSGI_TAKES = 2
"""environ and start_response."""
ASGI_TAKES = 3
"""scope, receive and send."""


def main(asked: str, answered: str) -> None:
    """Read the request, import the app, write the result."""
    with open(asked, encoding="utf-8") as file:  # noqa: PTH123 - as short a start as can be
        request = json.load(file)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_OUTPUT, MOST_OUTPUT))
    report = {
        "python": ".".join(map(str, sys.version_info[:3])),
        "distributions": distributions(request["distributions"]),
    }
    write(report, answered)  # what is known, should the import never end
    report.update(imported(request["app"]))
    write(report, answered)
    sys.stdout.flush()
    os._exit(0)  # threads of the app's must not hold this up


def write(report: dict[str, Any], answered: str) -> None:
    """Write the result whole, or not at all."""
    beside = answered + ".new"
    with open(beside, "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(report, file)
    os.replace(beside, answered)  # noqa: PTH105


def distributions(names: list[str]) -> dict[str, str]:
    """Return the versions of those that are installed."""
    from importlib import metadata  # noqa: PLC0415

    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def imported(spec: str) -> dict[str, Any]:
    """Import the app and return its kind, or the error."""
    module, _, name = spec.partition(":")
    try:
        loaded = importlib.import_module(module)
        app = getattr(loaded, name[:-2] if name.endswith("()") else name or "app")
        if name.endswith("()"):
            app = app()
    except BaseException as error:  # noqa: BLE001 - SystemExit too: it is told, not followed
        return {"error": described(error, module)}
    return {
        "kind": kind(app),
        "type": "{0.__module__}.{0.__qualname__}".format(type(app)),
        "file": getattr(loaded, "__file__", None),
    }


def described(error: BaseException, module: str) -> dict[str, Any]:
    """Return what an error was, and whether it is the app itself that is not there."""
    missing = getattr(error, "name", None) if isinstance(error, ImportError) else None
    return {
        "type": type(error).__name__,
        "text": str(error),
        "traceback": traceback.format_exc(),
        "app_is_missing": missing is not None and (module + ".").startswith(missing + "."),
        "missing_module": missing,
    }


def kind(app: Any) -> str:  # noqa: ANN401 - whatever has that name
    """Return ``flask``, ``wsgi``, ``asgi``, ``factory`` or ``none``."""
    families = {base.__module__.partition(".")[0] for base in type(app).__mro__}
    if families & {"starlette", "fastapi", "quart", "sanic", "litestar", "channels"}:
        return "asgi"
    if "flask" in families:  # after Quart, which is built on a part of Flask
        return "flask"
    if not callable(app):
        return "none"
    call = app if inspect.isroutine(app) else type(app).__call__
    if inspect.iscoroutinefunction(call):
        return "asgi"
    if isinstance(app, type):
        return "factory"
    return takes(app)


def takes(app: Any) -> str:  # noqa: ANN401
    """Tell by its parameters whether a callable is an app or makes one."""
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError, RuntimeError):
        return "wsgi"  # written in C: it has to be believed
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = sum(p.kind in kinds and p.default is p.empty for p in parameters)
    possible = sum(p.kind in kinds for p in parameters)
    if required == 0:
        starred = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        return "wsgi" if starred else "factory"
    if required <= WSGI_TAKES <= possible:
        return "wsgi"
    return "asgi" if required == ASGI_TAKES else "none"


if __name__ == "__main__":
    # The app is looked for where it will be when it is served, and never beside this file.
    sys.path.pop(0)
    sys.path.insert(0, "")
    main(*sys.argv[1:])
