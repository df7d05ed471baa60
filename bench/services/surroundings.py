"""What every service is given, and what every service gives back."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes.guardian import Guardian

# What programs need to find themselves and their files. All else stays outside: a proxy, a
# PYTHONPATH or a GUNICORN_CMD_ARGS of the user's would quietly become part of the measurement.
_KEPT = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class Surroundings:
    """Where a service runs and what it may use."""

    folder: Path
    """Its logs and files go here; it exists."""
    guardian: Guardian
    root: Path
    """The checkout."""
    python: str
    """The interpreter of the virtual environment."""


@dataclass(frozen=True)
class RunningService:
    """A service that is up and has answered."""

    name: str
    pid: int | None
    """Its first process; ``None`` if it is somebody else's."""
    address: str
    """``host:port``."""
    check: Callable[[], None]
    """Raises ``TrialError`` if it has died."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the app needs to find it. May hold a password: see ``postgres.mask_password``."""
    max_connections: int | None = None
    """Postgres only: how many connections clients may hold at once."""


def base_environment() -> dict[str, str]:
    """Return the variables of this process that children get, the same few for every one."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ}
