"""What the app's own interpreter says: where it is, what it answers, what is installed with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from bench.errors import UsageError
from bench.own_app.app import OwnApp
from bench.own_app.needs import examine
from bench.own_app.scripts import run_script
from bench.processes.guardian import Guardian

PROBE = Path(__file__).with_name("app_probe.py")
NOT_FOUND = 404


@dataclass(frozen=True)
class Distribution:
    """A package that is installed in the app's virtual environment."""

    name: str
    version: str
    requires: tuple[str, ...]
    modules: tuple[str, ...]
    """Its top-level modules, where they are known."""
    url: str | None = None
    """Where it was installed from, if not from an index."""
    vcs: Mapping[str, str] | None = None
    """``vcs`` and ``commit_id``, where that is a repository."""

    @property
    def folder(self) -> Path | None:
        """The folder of this machine that it was installed from."""
        parts = urlsplit(self.url or "")
        return Path(unquote(parts.path)) if parts.scheme == "file" else None


@dataclass(frozen=True)
class Seen:
    """An app, as its interpreter sees it."""

    python: str
    """Its version: ``3.12.4``."""
    file: Path
    """The file of the app's module; links resolved."""
    modules: tuple[str, ...]
    """The top-level modules that were loaded when it had been imported."""
    distributions: Mapping[str, Distribution]
    """By normalised name."""
    owner: str | None
    """The distribution that holds the module's file; ``None``: it lies in the user's own folder."""
    statuses: Mapping[str, int]
    """Path → status of a GET; absent: no answer in time."""

    def answers(self, path: str) -> bool:
        """Say whether the app has this path at all; it may be unwell just now."""
        return self.statuses.get(path, NOT_FOUND) != NOT_FOUND


def look_at(app: OwnApp, paths: Sequence[str], guardian: Guardian) -> Seen:
    """Import the app in its own interpreter, and ask it for these paths.

    Raises:
        UsageError: it cannot be imported, or is nothing that a WSGI server can call.

    """
    facts = examine(app, guardian)
    outcome = run_script(app, PROBE, {"app": app.spec, "paths": list(paths)}, guardian=guardian)
    report = outcome.result
    if not isinstance(report, dict):
        raise UsageError(
            f"importing {app.spec} worked once and not again; the end of what it said:"
            f"\n{outcome.output}"
        )
    file = Path(report["file"])
    # the first on the path is the one that is imported
    found = [each for each in reversed(report["distributions"]) if each["name"]]
    return Seen(
        python=facts.python,
        file=file,
        modules=tuple(report["modules"]),
        distributions={canonicalize_name(d["name"]): _distribution(d) for d in found},
        owner=next((canonicalize_name(d["name"]) for d in found if _holds(d, file)), None),
        statuses=report["statuses"],
    )


def _distribution(found: Mapping[str, Any]) -> Distribution:
    return Distribution(
        name=found["name"],
        version=found["version"],
        requires=tuple(found["requires"]),
        modules=tuple(found["modules"]),
        url=found["url"],
        vcs=found["vcs"] or None,
    )


def _holds(found: Mapping[str, Any], file: Path) -> bool:
    folder = Path(found["folder"])
    return file.is_relative_to(folder) and str(file.relative_to(folder)) in found["files"]
