"""From what the user asks for to the files and to what writing them would change."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.catalog import ROOT, load_catalog
from bench.eject import record, render
from bench.eject.changes import Change, changes
from bench.eject.choice import deployment_to_eject
from bench.eject.ejection import Ejection
from bench.eject.look import Seen, look_at
from bench.eject.places import PLAIN, places
from bench.eject.requirements import app_requirements
from bench.eject.server_lock import build_lock, server_lock
from bench.eject.write import read_present, write
from bench.errors import UsageError
from bench.model import Deployment
from bench.own_app.app import OwnApp
from bench.processes.guardian import Guardian

FOLDER = "deploy"
IGNORE = ".dockerignore"
PATCHED = "patched.py"
HEALTH, READY, FRONT = "/healthz", "/readyz", "/"
LABEL = re.compile(r"[a-z]([a-z0-9-]{0,51}[a-z0-9])?")
"""A DNS label as Kubernetes wants it for a Service, with room for what is added to it."""
IMAGE = re.compile(r"[\w][\w.:/@-]*")
PATH = re.compile(r"/[\w.~!&()*+,;=:@%/?-]*", re.ASCII)
"""Paths and queries that need no quotes in a Dockerfile, a shell or YAML."""
OLDEST, NEWEST = (3, 11), (3, 14)
"""Versions of Python that the locks are made for (see bench/bootstrap.py)."""


@dataclass(frozen=True)
class EjectRequest:
    """What the user asks for; ``None``: found out."""

    deployment: str
    app: OwnApp
    call: str
    """The command line, as a shell takes it."""
    to: Path | None = None
    image: str | None = None
    name: str | None = None
    port: int = 8000
    health_path: str | None = None
    ready_path: str | None = None
    workers: int | None = None
    threads: int | None = None
    async_cores: int | None = None
    requirements: Path | None = None
    env_file: Path | None = None
    force: bool = False


@dataclass(frozen=True)
class Prepared:
    """Files that are ready to be written, and what that would change."""

    target: Path
    deployment: str
    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    """What the user should know of the files."""
    files: Mapping[str, bytes]


def prepare(request: EjectRequest) -> Prepared:
    """Look at the app, make the files, and compare them with what is there; nothing is written.

    Raises:
        UsageError: a part of the request cannot be, or the app cannot be served.

    """
    deployment = deployment_to_eject(load_catalog(), request.deployment)
    _check(request)
    paths = [path for path in (request.health_path, request.ready_path) if path]
    with Guardian() as guardian:
        seen = look_at(request.app, (*paths, HEALTH, READY, FRONT), guardian)
    target = Path(os.path.abspath((request.to or request.app.folder / FOLDER).expanduser()))  # noqa: PTH100
    ejection, notes = _ejection(request, deployment, seen, target.resolve())
    files = render.files(ejection, ROOT)
    before = record.read_record(ejection.places.target)
    recorded = before.files if before else {}
    present = read_present(ejection.places.target, [*files, *(recorded.keys() - files.keys())])
    found = changes(files, present, recorded, force=request.force)
    return Prepared(ejection.places.target, deployment.name, found, notes, files)


def carry_out(prepared: Prepared) -> None:
    """Write what was prepared, all of it or nothing.

    Raises:
        ResultsError: it cannot be written; the folder is as it was.

    """
    content = record.as_record(prepared.deployment, prepared.files)
    with Guardian() as guardian:
        write(prepared.target, prepared.changes, {record.NAME: content}, guardian)


def _check(request: EjectRequest) -> None:
    """Refuse what would break the files that it is written to."""
    checks = {
        "--name": (request.name, LABEL, "small letters, digits and -, as in shop-api"),
        "--image": (request.image, IMAGE, "a Debian image with Python, as in python:3.12-slim"),
        "--health-path": (request.health_path, PATH, "a path of your app, as in /healthz"),
        "--ready-path": (request.ready_path, PATH, "a path of your app, as in /readyz"),
    }  # fmt: skip
    for option, (value, pattern, allowed) in checks.items():
        if value is not None and not pattern.fullmatch(value):
            raise UsageError(f"{option}: {value!r} cannot be written everywhere; give {allowed}")


def _ejection(
    request: EjectRequest, deployment: Deployment, seen: Seen, target: Path
) -> tuple[Ejection, tuple[str, ...]]:
    app = request.app
    where = places(app, seen, target)
    locked = server_lock(deployment, ROOT)
    requirements = app_requirements(app, seen, where, request.requirements, locked)
    health, ready = _paths(request, seen)
    ejection = Ejection(
        deployment.with_settings(
            workers=request.workers, threads=request.threads, async_cores=request.async_cores
        ),
        spec=app.spec if ":" in app.spec else f"{app.spec}:app",
        name=request.name or _name(app),
        image=request.image or _image(seen),
        port=request.port,
        health_path=health,
        ready_path=ready,
        places=where,
        requirements=requirements,
        locked=locked,
        build_tools=build_lock(ROOT),
        call=request.call,
        env_file=_env_file(request, target),
        variables=tuple(app.environment),
        own_ignore=(where.context / IGNORE).exists(),
    )
    _refuse_clashes(ejection, app, where.search)
    notes = [*requirements.notes, *_notes(request, seen, health)]
    if ejection.own_ignore:
        secret = f", and keep {ejection.ignored} out" if ejection.ignored else ""
        notes.append(
            f"{where.context / IGNORE} decides what images get: let {where.deploy} through{secret}"
        )
    return ejection, tuple(notes)


def _paths(request: EjectRequest, seen: Seen) -> tuple[str, str]:
    """Return what is asked whether the app lives, and whether it can be sent requests."""
    health = request.health_path or (HEALTH if seen.answers(HEALTH) else FRONT)
    return health, request.ready_path or (READY if seen.answers(READY) else health)


def _notes(request: EjectRequest, seen: Seen, health: str) -> list[str]:
    found = []
    if health == FRONT and request.health_path is None:
        found.append(
            f"the app has no {HEALTH}, so {FRONT} is asked whether it lives: name a path that does"
            " no I/O with --health-path"
        )
    status = seen.statuses.get(health)
    if status is None or status >= 400:  # noqa: PLR2004 - what health checks take for a failure
        says = "does not answer in time" if status is None else f"answers {status}"
        found.append(f"{health} {says} here: a health check would restart the app for ever")
    if not OLDEST <= _python(seen) <= NEWEST and request.image is None:
        found.append(
            f"the app runs on Python {seen.python}, and the locked servers on"
            f" {'.'.join(map(str, OLDEST))} to {'.'.join(map(str, NEWEST))}: the image has"
            f" {_image(seen)}"
        )
    return found


def _python(seen: Seen) -> tuple[int, int]:
    major, minor, *_ = seen.python.split(".")
    return int(major), int(minor)


def _image(seen: Seen) -> str:
    major, minor = min(max(_python(seen), OLDEST), NEWEST)
    return f"python:{major}.{minor}-slim-bookworm"


def _name(app: OwnApp) -> str:
    name = app.module.partition(".")[0].strip("_").replace("_", "-").lower()
    if not LABEL.fullmatch(name):
        raise UsageError(f"{name!r} cannot be the name of a service: give one with --name")
    return name


def _env_file(request: EjectRequest, target: Path) -> str | None:
    if request.env_file is None:
        return None
    path = os.path.relpath(request.env_file.expanduser().resolve(), target)
    if not PLAIN.fullmatch(path):
        raise UsageError(f"--env-file: {path!r} would need quotes in the files that name it")
    return path


def _refuse_clashes(ejection: Ejection, app: OwnApp, search: tuple[str, ...]) -> None:
    """Raise UsageError if uWSGI would load a module of the app's instead of patched.py."""
    if PATCHED not in ejection.copies:
        return
    ours = (ROOT / ejection.copies[PATCHED]).read_bytes()
    for folder in (app.folder, *(app.folder / each for each in search)):
        own = folder / PATCHED
        package = folder / PATCHED.removesuffix(".py") / "__init__.py"
        if package.exists() or (own.exists() and own.read_bytes() != ours):
            raise UsageError(
                f"{folder} has a module `patched` of its own, which uWSGI would load instead of the"
                " one that is written: give yours another name"
            )
