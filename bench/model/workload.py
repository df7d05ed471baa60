"""What is requested, and the shape of the load."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from bench.model.deployment import Deployment, Service
from bench.model.from_file import FromFile

OWN = "own"
"""What a workload is called whose path is the user's: nothing is known of what it waits for."""
SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
MASK = "***"


@dataclass(frozen=True)
class Load(FromFile):
    """The shape of a load: so many requests, or so many seconds, at one concurrency."""

    concurrency: int
    requests: int | None = None
    duration: float | None = None

    def __post_init__(self) -> None:
        if (self.requests is None) == (self.duration is None):
            raise ValueError("a load is given by requests or by duration: exactly one of them")


@dataclass(frozen=True)
class Request(FromFile):
    """What is sent, beside the path."""

    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None

    def without_secrets(self) -> Self:
        """Return it fit for a record that is shared."""
        shown = {n: MASK if n.lower() in SECRET_HEADERS else v for n, v in self.headers.items()}
        return replace(self, headers=shown)


@dataclass(frozen=True)
class Workload(FromFile):
    """What a request does, and how the load is shaped."""

    name: str
    purpose: str
    path: str
    """Path and query; ``{delay}`` is filled in."""
    load: Load
    delay: float | None = None
    """Seconds that a request waits for others; ``None`` if the path takes no delay."""
    body: str | None = None
    """The one right answer; ``None``: learned from the app's own first answer."""
    status: int | None = None
    """The one right status; ``None``: any that says success (200 to 299)."""
    request: Request = Request()
    uses: tuple[Service, ...] = ()
    database_share: float = 0.0
    """The part of the delay for which a request holds a database connection."""
    database_connections: int | None = None
    """The most that all processes of a deployment together may open."""
    load_for: Mapping[str, Load] = field(default_factory=dict)
    """Deployments by name that get another load, because this one would take hours."""

    def url_path(self, delay: float | None = None) -> str:
        """Path and query with this delay, or with the workload's own."""
        seconds = self.delay if delay is None else delay
        return self.path if seconds is None else self.path.replace("{delay}", f"{seconds:g}")

    def request_text(self) -> str:
        """Return what is requested: the path, after a method that is not GET."""
        method = self.request.method
        return self.url_path() if method == "GET" else f"{method} {self.url_path()}"

    def connections_per_process(self, deployment: Deployment) -> int | None:
        """Share the database connections out evenly; ``None`` if it uses no database."""
        if self.database_connections is None:
            return None
        return max(1, self.database_connections // deployment.processes)

    def connections(self, deployment: Deployment) -> int | None:
        """Return the most connections that a deployment may open in all."""
        each = self.connections_per_process(deployment)
        return each and each * deployment.processes
