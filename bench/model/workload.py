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
    lone_requests: int = 1
    """Sent one by one before the others, which the load generator decides: ab sends one."""

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
class Ask:
    """A request as a load generator sends it, and how it tells a right answer from a wrong one."""

    url: str
    request: Request = Request()
    weight: float = 1.0
    """How often it comes, compared with the others."""
    status: int | None = None
    """The one right status; ``None``: any that says success (200 to 299)."""
    body: str | None = None
    """The one right body; ``None``: …"""
    body_bytes: int | None = None
    """… it has to be as long as this, or as the first one, …"""
    bodies_vary: bool = False
    """… unless right bodies differ in length, too."""


@dataclass(frozen=True)
class MixedRequest(FromFile):
    """One of the requests of a scenario."""

    path: str
    """Path and query."""
    weight: float = 1.0
    """How often it comes, compared with the others."""
    request: Request = Request()
    status: int | None = None
    body: str | None = None
    """The one right answer; ``None``: learned from the app's own first answer."""
    bodies_vary: bool = False
    """Right answers differ, and only their status is checked."""

    def text(self) -> str:
        """Return what is requested: the path, after a method that is not GET."""
        return self.path if self.request.method == "GET" else f"{self.request.method} {self.path}"


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
    bodies_vary: bool = False
    """Right answers differ, and only their status is checked."""
    mix: tuple[MixedRequest, ...] = ()
    """A scenario: several requests, in the place of one; the first stands in the fields above."""

    def url_path(self, delay: float | None = None) -> str:
        """Path and query with this delay, or with the workload's own."""
        seconds = self.delay if delay is None else delay
        return self.path if seconds is None else self.path.replace("{delay}", f"{seconds:g}")

    def request_text(self) -> str:
        """Return what is requested: the path, after a method that is not GET."""
        if self.mix:
            return ", ".join(f"{share:.0%} {each.text()}" for share, each in self.shares())
        return MixedRequest(self.url_path(), request=self.request).text()

    def shares(self) -> tuple[tuple[float, MixedRequest], ...]:
        """Return the part of all requests that each of a scenario's has, and that request."""
        total = sum(each.weight for each in self.mix)
        return tuple((each.weight / total, each) for each in self.mix)

    def parts(self) -> tuple[tuple[float, Self], ...]:
        """Return a workload for each of its requests, with the part of the load that it has."""
        if not self.mix:
            return ((1.0, self),)
        return tuple(
            (
                share,
                replace(
                    self,
                    path=each.path,
                    request=each.request,
                    status=each.status,
                    body=each.body,
                    bodies_vary=each.bodies_vary,
                    mix=(),
                ),
            )
            for share, each in self.shares()
        )

    def without_secrets(self) -> Self:
        """Return it fit for a record that is shared."""
        masked = (replace(each, request=each.request.without_secrets()) for each in self.mix)
        return replace(self, request=self.request.without_secrets(), mix=tuple(masked))

    def connections_per_process(self, deployment: Deployment) -> int | None:
        """Share the database connections out evenly; ``None`` if it uses no database."""
        if self.database_connections is None:
            return None
        return max(1, self.database_connections // deployment.processes)

    def connections(self, deployment: Deployment) -> int | None:
        """Return the most connections that a deployment may open in all."""
        each = self.connections_per_process(deployment)
        return each and each * deployment.processes
