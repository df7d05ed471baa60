"""A deployment that is up."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Target:
    """A deployment that is up: where to send requests, and whose cost to watch."""

    host: str
    port: int
    roles: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Role (``server``, ``nginx``, ``api``, ``postgres``) → ids of its root processes."""

    @property
    def url(self) -> str:
        """Base URL, without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


@dataclass(frozen=True)
class Running:
    """A target with what brought it up: for the record, and to see whether it still runs."""

    target: Target
    commands: Mapping[str, tuple[str, ...]]
    environment: Mapping[str, str]
    """The settings that the server was given, secrets masked."""
    check: Callable[[], None]
    """Raises TrialError if a process of it has ended, or one of a service that it needs."""
