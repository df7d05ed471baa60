"""What a deployment needs beside the app: the part of this project's own locks that it is."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from bench.model import Deployment

FOLDER = "requirements"
LOCKS = {"gevent": "pywsgi", "gunicorn": "gunicorn", "uwsgi": "uwsgi"}
"""The server of the catalog → its lock in ``requirements/images``."""
ROOTS = {"gevent": (), "gunicorn": ("gunicorn", "packaging"), "uwsgi": ("uwsgi",)}
GEVENT = ("gevent", "psycogreen")
"""psycogreen does nothing without psycopg2, and the start fails where psycopg2 is without it."""
BUILD_TOOLS = ("setuptools",)
"""What psycogreen and uWSGI, which are published as source only, are built with."""
LINUX = {
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
}
ENTRY = re.compile(r"^[A-Za-z0-9][^\n]*(?:\n[ \t][^\n]*)*", re.MULTILINE)
VIA = re.compile(r"^ +# +(?:via )?(?!via$)([A-Za-z0-9][\w.-]*)$", re.MULTILINE)


@dataclass(frozen=True)
class Locked:
    """One entry of a lock: a package in one version, with its hashes."""

    requirement: Requirement
    wanted_by: Collection[str]
    """The packages that ask for it."""
    text: str
    """As a requirements file has it, without comments."""


def server_lock(deployment: Deployment, root: Path) -> tuple[Locked, ...]:
    """Return what a deployment adds to an app: server, gevent, and all that these need."""
    lock = root / FOLDER / "images" / f"{LOCKS[deployment.server]}.txt"
    gevent = GEVENT if deployment.async_cores else ()
    return part_of(lock.read_text("utf-8"), (*ROOTS[deployment.server], *gevent))


def build_lock(root: Path) -> tuple[Locked, ...]:
    """Return what those packages are built with."""
    return part_of((root / FOLDER / "build.txt").read_text("utf-8"), BUILD_TOOLS)


def part_of(lock: str, names: Collection[str]) -> tuple[Locked, ...]:
    """Return these packages of a lock, and all that they ask for on Linux, in its order."""
    entries = {entry.requirement.name: entry for entry in map(_entry, ENTRY.findall(lock))}
    found = set(names)
    while True:
        more = {
            name
            for name, entry in entries.items()
            if name not in found and found.intersection(entry.wanted_by) and _is_for_linux(entry)
        }
        if not more:
            return tuple(entry for name, entry in entries.items() if name in found)
        found |= more


def versions(locked: Collection[Locked]) -> Mapping[str, str]:
    """Return package → version."""
    return {e.requirement.name: str(e.requirement.specifier).removeprefix("==") for e in locked}


def _entry(text: str) -> Locked:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    requirement = Requirement(lines[0].removesuffix("\\").strip())
    # the last hash need not be followed by a comment any more
    return Locked(requirement, frozenset(VIA.findall(text)), "\n".join(lines).removesuffix(" \\"))


def _is_for_linux(entry: Locked) -> bool:
    marker = entry.requirement.marker
    return marker is None or marker.evaluate(LINUX)
