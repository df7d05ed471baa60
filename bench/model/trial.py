"""What came out of one trial."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.model.deployment import Deployment
from bench.model.from_file import FromFile
from bench.model.workload import Load


@dataclass(frozen=True)
class Latency(FromFile):
    """Response times in seconds, of the valid responses of one trial under closed-loop load."""

    p50: float
    p90: float
    p99: float
    max: float
    p999: float | None = None
    """``None`` with fewer than 1000 responses: the slowest of a thousand is not known then."""
    histogram: str | None = None
    """All response times in microseconds, as a compressed HDR histogram in base64."""


@dataclass(frozen=True)
class RequestMeasurement(FromFile):
    """What the load generator saw of one request of a scenario."""

    requests: int
    failed: int
    latency: Latency | None
    """``None`` if no response was valid."""


@dataclass(frozen=True)
class Measurement(FromFile):
    """What the load generator saw."""

    generator: str
    """Name and version."""
    command: tuple[str, ...]
    requests: int
    """Requests that ended, well or badly."""
    failures: Mapping[str, int]
    """Kind → count, kinds that did not occur included as 0. Kinds may overlap."""
    seconds: float
    """From the first request to the last answer."""
    requests_per_second: float
    """Of a load that is given by its duration, the load generator decides what of its end counts:
    what is under way then is answered later."""
    latency: Latency | None
    """``None`` if no response was valid."""
    bytes_received: int
    body_bytes: int
    """Length of the first response's body."""
    client_cpu_seconds: float | None
    """The load generator's own CPU time, user and system."""
    details: Mapping[str, int | float | str | None] = field(default_factory=dict)
    """Every further figure the generator printed, under its own names."""
    mix: tuple[RequestMeasurement, ...] = ()
    """The same for each request of a scenario, in its order."""

    @property
    def failed(self) -> int:
        """At least so many requests failed: the kinds overlap, so they cannot be added up."""
        return max(self.failures.values(), default=0)


@dataclass(frozen=True)
class Verification(FromFile):
    """What was proved before the load: right answers, in the right time, so many at once."""

    requests: int
    """Sent all at once."""
    delay: float | None
    """Seconds that each was asked to wait."""
    body_bytes: int
    fastest: float
    """Seconds; never below the delay."""
    served_at_once: int | None
    """At least so many were in service together; ``None`` if nothing waits, so nothing shows it."""
    bodies_vary: bool = False
    """The right bodies differ, as with a time of day in them: under load only the status of an
    answer is checked then."""


@dataclass(frozen=True)
class RoleUsage(FromFile):
    """What the processes of one role cost during the load."""

    cpu_seconds: float
    """User and system, of all its processes."""
    memory_bytes: int | None
    """Highest sum of the proportional set sizes (shared pages counted once); ``None``: unknown."""
    processes_before: int
    processes_during: int
    threads_before: int
    threads_during: int
    """The highest count seen."""
    open_files: int | None = None
    """The highest count of file descriptors; ``None``: not told."""
    connections: Mapping[str, int] = field(default_factory=dict)
    """State of its TCP connections (``ESTABLISHED`` …) → the highest count seen."""


@dataclass(frozen=True)
class Surroundings(FromFile):
    """What the machine itself went through during the load: kernel counters, and its noise."""

    counters: Mapping[str, float] = field(default_factory=dict)
    """Counter → its growth during the load; counters that this system lacks are absent."""
    canary_before: float | None = None
    """Seconds that a fixed piece of computing took just before the trial …"""
    canary_after: float | None = None
    """… and just after it."""


@dataclass(frozen=True)
class Trial(FromFile):
    """One fresh start of one deployment under one workload, and all that is known of it."""

    deployment: Deployment
    """With the settings that it ran with."""
    round: int
    started: str
    """UTC, ISO 8601."""
    folder: str
    """Where the raw output is, relative to the run's folder."""
    load: Load
    database_connections: int | None
    """The most that all its processes together may open; ``None``: no database in use."""
    seconds: Mapping[str, float]
    """Phase (start, verify, warm-up, load, stop) → wall time, of the phases that it reached."""
    commands: Mapping[str, tuple[str, ...]]
    """Role → the exact command."""
    environment: Mapping[str, str]
    """The settings that the server was given."""
    verification: Verification | None = None
    measurement: Measurement | None = None
    usage: Mapping[str, RoleUsage] = field(default_factory=dict)
    surroundings: Surroundings | None = None
    failure: str | None = None
    """Why it gives no valid result; ``None``: it does."""

    @property
    def valid(self) -> bool:
        """Whether its figures may be shown and ranked."""
        return self.failure is None and self.measurement is not None

    @property
    def overhead(self) -> float:
        """Seconds of the trial that were not load."""
        return sum(s for phase, s in self.seconds.items() if phase != "load")
