"""Where the app and the new folder are, as the folder sees them that an image is built from."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from bench.eject.look import Seen
from bench.errors import UsageError
from bench.own_app.app import OwnApp

PLAIN = re.compile(r"[\w.@+/-]+")
"""Paths that mean the same to a shell, a Dockerfile, systemd and YAML."""


@dataclass(frozen=True)
class Places:
    """Paths that end up in what is written: all of them relative, so that it can be moved."""

    target: Path
    """Where everything is written; absolute."""
    context: Path
    """What ``docker build`` is given: it holds the app's folder and the target; absolute."""
    app: str | None
    """The app's folder, relative to the context; ``None``: the app is an installed package."""
    search: tuple[str, ...] = ()
    """Folders below the app's that its modules are imported from, such as ``src``."""
    home: Path = Path()
    """Where servers are started: the app's folder, or the context; absolute."""

    @property
    def deploy(self) -> str:
        """The target, relative to the context."""
        return self.target.relative_to(self.context).as_posix()

    @property
    def from_home(self) -> str:
        """The target as seen from where servers are started."""
        return os.path.relpath(self.target, self.home)

    @property
    def from_target(self) -> str:
        """The context as seen from the target."""
        return os.path.relpath(self.context, self.target)


def places(app: OwnApp, seen: Seen, target: Path) -> Places:
    """Return where things are.

    Raises:
        UsageError: no folder holds both, the target has other uses, or the app is somewhere else.

    """
    _check_target(app, target)
    if is_packaged(app, seen):
        found = Places(target, target.parent, None, home=target.parent)
    else:
        context = _context(app.folder, target)
        root = _import_root(app, seen)
        search = () if root == app.folder else (root.relative_to(app.folder).as_posix(),)
        relative = app.folder.relative_to(context).as_posix()
        found = Places(target, context, relative, search, app.folder)
    for path in filter(None, (found.deploy, found.app, *found.search)):
        if not PLAIN.fullmatch(path):
            raise UsageError(
                f"{path!r} would need quotes in a Dockerfile, in YAML and in units of systemd:"
                " give the folder a name of letters, digits and . _ - only"
            )
    return found


def is_packaged(app: OwnApp, seen: Seen) -> bool:
    """Say whether the app comes from an index, and no folder of the user's has its source."""
    if seen.owner is None:
        return False
    folder = seen.distributions[seen.owner].folder
    return folder is None or folder.resolve() != app.folder


def _check_target(app: OwnApp, target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise UsageError(f"--to: {target} is a file; give a folder, which need not be there yet")
    if not target.parent.is_dir():
        raise UsageError(f"--to: there is no folder {target.parent} to make {target.name} in")
    if app.folder.is_relative_to(target):
        raise UsageError(
            f"--to: {target} holds the app itself; give a folder of its own, as in"
            f" {app.folder / 'deploy'}"
        )
    where = target if target.exists() else target.parent
    if not os.access(where, os.W_OK | os.X_OK):
        raise UsageError(f"--to: you may not write to {where}")


def _context(folder: Path, target: Path) -> Path:
    if target.is_relative_to(folder):
        return folder
    if target.is_relative_to(folder.parent) and folder.parent != Path(folder.anchor):
        return folder.parent
    raise UsageError(
        f"--to: {target} is neither in the app's folder, {folder}, nor beside it: an image is built"
        " from one folder that holds both. Give one of these, as in"
        f" {folder / 'deploy'} or {folder.parent / 'deploy'}"
    )


def _import_root(app: OwnApp, seen: Seen) -> Path:
    """Return the folder that the app's top-level module is in."""
    if seen.owner is not None:  # installed from its folder, and in the image again
        return app.folder
    depth = app.module.count(".") + (seen.file.name == "__init__.py")
    root = seen.file.parents[depth]
    if not root.is_relative_to(app.folder):
        raise UsageError(
            f"{app.module} is imported from {root}, and not from {app.folder}: say --app-dir {root}"
        )
    return root
