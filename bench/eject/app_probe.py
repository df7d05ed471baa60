"""Run by the app's own interpreter: say what the app answers and what is installed beside it.

Called with two paths: a request (JSON: ``app``, ``paths``) and where to write the result. Nothing
but the standard library, and no later Python than 3.8: it runs where the app runs.
"""

import importlib
import json
import os
import resource
import sys
from importlib import metadata
from wsgiref.util import setup_testing_defaults

MOST_OUTPUT = 16 * 1024 * 1024
"""Bytes: an app that prints without end meets an error instead of filling the disk."""


def main(asked: str, answered: str) -> None:
    """Read what is asked, import the app, and write what it shows."""
    with open(asked, encoding="utf-8") as file:  # noqa: PTH123 - as short a start as can be
        request = json.load(file)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_OUTPUT, MOST_OUTPUT))
    module, _, name = request["app"].partition(":")
    loaded = importlib.import_module(module)
    app = getattr(loaded, name[:-2] if name.endswith("()") else name or "app")
    app = app() if name.endswith("()") else app
    statuses = {}  # type: ignore[var-annotated]
    report = {
        "file": os.path.realpath(loaded.__file__ or ""),
        "modules": sorted({name.partition(".")[0] for name in sys.modules}),
        "distributions": list(map(described, metadata.distributions())),
        "statuses": statuses,
    }
    for path in request["paths"]:
        write(report, answered)  # what is known, should the next answer never come
        statuses[path] = status(app, path)
    write(report, answered)
    sys.stdout.flush()
    os._exit(0)  # threads of the app's must not hold this up


def write(report, answered: str) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Put the report where it is looked for, all of it or nothing."""
    beside = answered + ".new"
    with open(beside, "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(report, file)
    os.replace(beside, answered)  # noqa: PTH105


def described(found):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Return what has to be known of a distribution to install it elsewhere."""
    direct = json.loads(found.read_text("direct_url.json") or "{}")
    files = [str(file) for file in found.files or ()]
    tops = {name.partition("/")[0] for name in files if name.endswith((".py", ".so"))}
    return {
        "name": found.metadata["Name"],
        "version": found.version,
        "requires": found.requires or [],
        "url": direct.get("url"),
        "vcs": direct.get("vcs_info", {}),
        # uwsgi's modules are in its program: it has none
        "modules": sorted(name.partition(".")[0] for name in tops),
        "folder": os.path.realpath(str(found.locate_file(""))),
        "files": [name for name in files if name.endswith(".py")],
    }


def status(app, path: str) -> int:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Return the status of a GET; an app that raises answers 500 under any server."""
    environ = {"PATH_INFO": path.partition("?")[0], "QUERY_STRING": path.partition("?")[2]}
    setup_testing_defaults(environ)
    told = []

    def start_response(line, headers, *error):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN002, ANN202, ARG001
        told.append(int(line.partition(" ")[0]))
        return lambda _: None

    try:
        parts = app(environ, start_response)
        for _ in parts:
            break
        getattr(parts, "close", lambda: None)()
    except Exception:  # noqa: BLE001 - whatever it is
        return 500
    return told[-1] if told else 500


if __name__ == "__main__":
    # The app is looked for where it will be when it is served, and never beside this file.
    sys.path.pop(0)
    sys.path.insert(0, "")
    main(*sys.argv[1:])
