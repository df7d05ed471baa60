"""Where the app's own requirements come from: its files, or else what is installed beside it."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from bench.eject.look import Distribution, Seen
from bench.eject.places import PLAIN, Places
from bench.eject.server_lock import Locked
from bench.errors import UsageError
from bench.own_app.app import OwnApp

FILE = "requirements.txt"
PROJECT = "pyproject.toml"
TOOLS = {"pip", "setuptools", "wheel", "distribute", "flask-bench"}
"""What a virtual environment has besides, as ``pip freeze`` knows them, and this program."""
OTHER_FILES = re.compile(
    r"^\s*(-r|-c|-e|-f|--requirement|--constraint|--editable|--find-links|\.|/|file:|[\w.-]+/)",
    re.MULTILINE,
)
UNPINNED = re.compile(r"^\s*([A-Za-z0-9][\w.-]*)(?![^#\n]*(===?|@))[^\n]*$", re.MULTILINE)
FEW = 5
"""Names that a note has room for."""


@dataclass(frozen=True)
class AppRequirements:
    """How an image gets what the app imports."""

    source: str
    """What they were taken from, for people."""
    file: str | None = None
    """A file of the app's that pip reads, relative to the context; ``None``: `pins` are written."""
    pins: tuple[str, ...] = ()
    complete: bool = False
    """The pins are all that there is to install: nothing is left for pip to decide."""
    folder_first: bool = False
    """They name other files of the app's folder: pip needs all of it."""
    install_folder: bool = False
    """The app's folder is a package that is installed, without what it requires."""
    needs_git: bool = False
    """Pip has to clone a repository."""
    notes: tuple[str, ...] = ()


def app_requirements(
    app: OwnApp,
    seen: Seen,
    where: Places,
    given: Path | None = None,
    locked: Sequence[Locked] = (),
) -> AppRequirements:
    """Decide on the source: the file that was given, requirements.txt, pyproject.toml, a freeze.

    Args:
        app: whose requirements these are.
        seen: what is installed beside it.
        where: its folder, if it has one.
        given: the file that the user names.
        locked: what the server needs, which is in the image before.

    Raises:
        UsageError: a file cannot be read, or lies outside of the app's folder.

    """
    if where.app is None:
        if given is not None:
            raise UsageError(f"--requirements: {app.spec} is the installed package {seen.owner}")
        pins = _closure(seen, [Requirement(seen.owner or "")])
        return _pinned(f"{seen.owner}, and what it requires, as installed", pins, locked)
    folder = app.folder
    if given is not None and not given.resolve().is_relative_to(folder):
        raise UsageError(f"--requirements: {given} is not in the app's folder, {folder}")
    installed = any(d.folder and d.folder.resolve() == folder for d in seen.distributions.values())
    file = given.resolve() if given else folder / FILE
    if given or file.is_file():
        return _from_file(file, where, installed=installed)
    wanted = _dependencies(folder / PROJECT)
    if wanted is not None:
        source = f"{PROJECT}, in the versions that are installed"
        return _pinned(source, _closure(seen, wanted), locked, installed=installed)
    return _frozen(app, seen, locked, installed=installed)


def _from_file(file: Path, where: Places, *, installed: bool) -> AppRequirements:
    text = _read(file)
    relative = file.relative_to(where.context).as_posix()
    if not PLAIN.fullmatch(relative):
        raise UsageError(f"--requirements: {relative!r} would need quotes in a Dockerfile")
    loose = [found[1] for found in UNPINNED.finditer(text)]
    notes: tuple[str, ...] = ()
    if loose:
        names = ", ".join(loose[:FEW]) + (" …" if len(loose) > FEW else "")
        notes = (f"{relative} names no version of {names}: the image gets the newest when built",)
    return AppRequirements(
        relative,
        file=relative,
        folder_first=bool(OTHER_FILES.search(text)),
        install_folder=installed,
        needs_git="git+" in text,
        notes=notes,
    )


def _frozen(
    app: OwnApp, seen: Seen, locked: Sequence[Locked], *, installed: bool
) -> AppRequirements:
    """Pin all of the app's virtual environment; of this program's own, what the app has loaded."""
    if app.has_own_python:
        found = {name: _pin(d) for name, d in seen.distributions.items() if name not in TOOLS}
        source = "what is installed in its virtual environment"
        return _pinned(source, found, locked, installed=installed)
    roots = [
        Requirement(d.name)
        for name, d in seen.distributions.items()
        if name not in TOOLS and set(d.modules) & set(seen.modules)
    ]
    note = (
        f"{app.folder} has no {FILE} or {PROJECT}, and --python is not given: the image gets what"
        " the app loads when it is imported. Look through requirements/app.txt"
    )
    source = "what the app loads when it is imported"
    return _pinned(source, _closure(seen, roots), locked, notes=(note,))


def _pinned(
    source: str,
    found: Mapping[str, str | None],
    locked: Sequence[Locked],
    *,
    installed: bool = False,
    notes: tuple[str, ...] = (),
) -> AppRequirements:
    """Write versions down; what only the server needs has its own, or it might not start."""
    pins = {name: pin for name, pin in sorted(found.items()) if pin}
    for entry in locked:
        name = entry.requirement.name
        if name in pins and entry.wanted_by and pins.keys().isdisjoint(entry.wanted_by):
            own, ours = pins.pop(name), f"{name}{entry.requirement.specifier}"
            if own != ours:
                notes += (f"the image has {ours}, which the server needs, and not {own}",)
    return AppRequirements(
        source,
        pins=tuple(pins.values()),
        complete=all("==" in pin or "@" in pin for pin in pins.values()),
        install_folder=installed,
        needs_git=any("git+" in pin for pin in pins.values()),
        notes=notes,
    )


def _dependencies(file: Path) -> list[Requirement] | None:
    """Return what a project asks for; ``None``: it does not say so here."""
    if not file.is_file():
        return None
    try:
        project = tomllib.loads(_read(file)).get("project", {})
        if "dependencies" not in project:
            return None
        return [Requirement(each) for each in project["dependencies"]]
    except (tomllib.TOMLDecodeError, InvalidRequirement) as error:
        raise UsageError(f"{file}: {error}") from error


def _closure(seen: Seen, roots: Iterable[Requirement]) -> dict[str, str | None]:
    """Return name → pin of these and all that they require, as far as it is installed."""
    pins: dict[str, str | None] = {}
    todo = list(roots)
    known: set[tuple[str, frozenset[str]]] = set()
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        if (name, frozenset(wanted.extras)) in known:
            continue
        known.add((name, frozenset(wanted.extras)))
        distribution = seen.distributions.get(name)
        if distribution is None:
            pins[name] = str(wanted)
            continue
        pins[name] = _pin(distribution)
        todo += _required(distribution, wanted.extras, _environment(seen))
    return pins


def _required(
    distribution: Distribution, extras: Iterable[str], environment: Mapping[str, str]
) -> list[Requirement]:
    asked = [{**environment, "extra": extra} for extra in ("", *extras)]
    found = []
    for text in distribution.requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:  # pip does not install such a one either
            continue
        marker = requirement.marker
        if marker is None or any(marker.evaluate(each) for each in asked):
            requirement.marker = None
            found.append(requirement)
    return found


def _environment(seen: Seen) -> Mapping[str, str]:
    major, minor, *_ = seen.python.split(".")
    return {"python_version": f"{major}.{minor}", "python_full_version": seen.python}


def _pin(distribution: Distribution) -> str | None:
    """Return the line that installs it again; ``None``: it is a folder of this machine."""
    if distribution.folder is not None:
        return None
    if distribution.vcs:
        kind, commit = distribution.vcs["vcs"], distribution.vcs["commit_id"]
        return f"{distribution.name} @ {kind}+{distribution.url}@{commit}"
    if distribution.url:
        return f"{distribution.name} @ {distribution.url}"
    return f"{distribution.name}=={distribution.version}"


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
