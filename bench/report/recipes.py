"""How each deployment was started, and the files that make it so in somebody else's app."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.model import Deployment, Run, Trial

CHECKOUT = Path(__file__).resolve().parents[2]
SHOWN_FROM = ("flask_app", "nginx", "compose", "peers", "bench/variants")
"""Folders whose files may be shown: a run is somebody's file, and could name any of the disk."""
LARGEST = 64 * 1024
"""Bytes; no configuration file comes near it."""


@dataclass(frozen=True)
class CopyFile:
    """A file to copy; ``content`` is ``None`` where this checkout does not have it."""

    path: str
    content: str | None


@dataclass(frozen=True)
class Recipe:
    """One deployment, to do it oneself."""

    deployment: Deployment
    commands: Mapping[str, str]
    """Role → the command as a shell takes it."""
    environment: Mapping[str, str]
    files: tuple[CopyFile, ...]
    load_command: str | None
    """What the load generator was called with."""

    @property
    def environment_text(self) -> str:
        """The settings as a shell takes them."""
        return "\n".join(f"{name}={shlex.quote(value)}" for name, value in self.environment.items())


def recipes(run: Run, order: Sequence[str]) -> tuple[Recipe, ...]:
    """Return a recipe per deployment: of its last trial that was started at all.

    ``order``: the deployments, by name, in the order in which they are wanted.
    """
    latest: dict[str, Trial] = {}
    for trial in run.trials:
        if trial.commands or trial.deployment.name not in latest:
            latest[trial.deployment.name] = trial
    return tuple(_recipe(trial) for trial in map(latest.__getitem__, order))


def _recipe(trial: Trial) -> Recipe:
    return Recipe(
        trial.deployment,
        {role: shlex.join(command) for role, command in trial.commands.items()},
        trial.environment,
        tuple(CopyFile(path, _content(path)) for path in trial.deployment.copy),
        shlex.join(trial.measurement.command) if trial.measurement else None,
    )


def _content(path: str) -> str | None:
    try:
        file = (CHECKOUT / path).resolve()
        if not any(file.is_relative_to(CHECKOUT / folder) for folder in SHOWN_FROM):
            return None
        if not file.is_file() or file.stat().st_size > LARGEST:
            return None
        return file.read_text("utf-8", errors="replace")
    except (OSError, ValueError):  # ValueError: a name with a NUL in it
        return None
