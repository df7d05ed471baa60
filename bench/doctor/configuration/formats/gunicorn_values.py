"""Run by the app's own interpreter: evaluate a gunicorn configuration, which is Python.

Called with two paths: a request (JSON: ``file``, ``names``, ``distributions``) and where to write
the result. Nothing but the standard library, and no later Python than 3.8: it runs where the app
runs.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from importlib import metadata
from pathlib import Path

MOST_OUTPUT = 16 * 1024 * 1024
"""Bytes: a configuration that prints without end meets an error instead of filling the disk."""


def main(asked: str, answered: str) -> None:
    """Write the versions, and the values or the error."""
    request = json.loads(Path(asked).read_text("utf-8"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_OUTPUT, MOST_OUTPUT))
    sys.argv[:] = ["gunicorn"]
    report: dict[str, object] = {"versions": versions(request["distributions"])}
    if request["file"]:
        report.update(evaluated(request["file"], request["names"]))
    Path(answered).write_text(json.dumps(report), "utf-8")
    sys.stdout.flush()
    os._exit(0)  # threads of the configuration's must not hold this up


def versions(names: list[str]) -> dict[str, str]:
    """Return the versions of those that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def evaluated(path: str, names: list[str]) -> dict[str, object]:
    """Execute the file as gunicorn does, and return the values of these names, or the error."""
    space = {"__builtins__": __builtins__, "__name__": "__config__", "__file__": path}
    try:
        exec(compile(Path(path).read_bytes(), path, "exec"), space)  # noqa: S102 - as gunicorn does
    except BaseException as error:  # noqa: BLE001 - SystemExit too: it is told, not followed
        return {"error": "{}: {}".format(type(error).__name__, error)}  # noqa: UP032
    return {"values": {name: plain(space[name]) for name in names if name in space}}


def plain(value: object) -> object:
    """Return what JSON can hold of it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return getattr(value, "__name__", type(value).__name__)


if __name__ == "__main__":
    # What the configuration imports is looked for where gunicorn would, and never beside this file.
    sys.path.pop(0)
    sys.path.insert(0, "")
    main(*sys.argv[1:])
