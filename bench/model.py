"""The words of the project as frozen dataclasses: what is run, and what came out of it.

Units everywhere: seconds, bytes, requests per second. A figure that is not known is ``None``,
never a stand-in number; a trial without a true result has a ``failure`` that says why.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Self

Service = Literal["api", "database"]

OWN = "own"
"""What a workload is called whose path is the user's: nothing is known of what it waits for."""
SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
MASK = "***"


class FromFile:
    """Base of what is read from files: an unknown key there is an error, and so is a NaN."""

    __pydantic_config__: ClassVar[Mapping[str, object]] = {
        "extra": "forbid",
        "allow_inf_nan": False,
    }


@dataclass(frozen=True)
class Deployment(FromFile):
    """One way to serve the app: server, worker class, proxy and settings.

    ``workers``, ``threads`` and ``async_cores`` are ``None`` where the server has no such setting.
    """

    name: str
    title: str
    server: str
    """Distribution name of the server's package: whose version is recorded."""
    command: tuple[str, ...]
    """Run with ``flask_app/`` on the import path; ``{host}``, ``{port}`` and ``{flask_app}``
    (the folder) are filled in."""
    copy: tuple[str, ...]
    """The files that somebody who wants this deployment takes home, relative to the checkout."""
    workers: int | None = None
    threads: int | None = None
    async_cores: int | None = None
    backlog: int | None = None
    """``None``: the server offers no setting for its listen queue."""
    slots_without_bound: bool = False
    """A thread per request: nothing but memory limits how many it holds at once."""
    proxy: str | None = None
    """The nginx configuration in front, relative to the checkout."""
    blocks_in: tuple[Service, ...] = ()
    """Services whose waiting holds up a whole process: a worker serves one such call at a time."""
    needs: tuple[Service, ...] = ()
    """It runs only where the workload uses these services."""
    group: str | None = None
    """Those of a group run only where they, or the group, are named; reports set them apart."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What its process is given beside the settings."""
    overlay: str | None = None
    """A folder whose modules stand before those of ``flask_app/``, relative to the checkout."""
    unix_socket: bool = False
    """nginx reaches it over a Unix socket, instead of a port."""
    runner: str = "local"
    """Where it runs: see `bench.runners`."""

    @property
    def base_name(self) -> str:
        """Its name in the catalog: ``gevent-uwsgi`` of ``gevent-uwsgi@ares@compose``."""
        return self.name.partition("@")[0]

    @property
    def variant(self) -> str:
        """The names of its changes: ``ares`` of ``gevent-uwsgi@ares@compose``."""
        return self.name.removesuffix(f"@{self.runner}").partition("@")[2]

    @property
    def processes(self) -> int:
        """Processes that serve requests."""
        return self.workers or 1

    @property
    def slots(self) -> int | None:
        """Requests that it can hold at once; ``None`` if there is no bound."""
        if self.slots_without_bound:
            return None
        return self.processes * (self.threads or self.async_cores or 1)

    def with_settings(
        self,
        *,
        workers: int | None = None,
        threads: int | None = None,
        async_cores: int | None = None,
    ) -> Self:
        """Return it with other settings, each only where the server has that setting at all."""
        return replace(
            self,
            workers=self.workers and (workers or self.workers),
            threads=self.threads and (threads or self.threads),
            async_cores=self.async_cores and (async_cores or self.async_cores),
        )


@dataclass(frozen=True)
class Variant(FromFile):
    """A change to deployments that has a name: ``urllib3`` in ``gevent-uwsgi@urllib3``."""

    name: str
    title: str
    suits: tuple[str, ...] = ()
    """Deployments that it can be applied to; none given: those that the other keys name, or all."""
    environment: Mapping[str, str] = field(default_factory=dict)
    overlay: str | None = None
    arguments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Server → what is added at the end of its command."""
    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Deployment → the command that it has instead of its own."""
    workers: Mapping[str, int] = field(default_factory=dict)
    """Deployment → its number of workers."""
    proxy: Mapping[str, str] = field(default_factory=dict)
    """Deployment → the nginx configuration in front of it."""
    unix_socket: bool = False
    backlog: int | None = None

    def suits_to(self, deployment: Deployment) -> bool:
        """Say whether it can be applied to this deployment of the catalog."""
        if named := {*self.suits, *self.commands, *self.workers, *self.proxy}:
            return deployment.name in named
        if self.unix_socket:
            return deployment.proxy is not None
        if self.arguments:
            return deployment.server in self.arguments and deployment.group is None
        return deployment.group is None

    def applied_to(self, deployment: Deployment) -> Deployment:
        """Return the deployment with this change, its name as it was."""
        own = self.commands.get(deployment.name)
        return replace(
            deployment,
            command=(*(own or deployment.command), *self.arguments.get(deployment.server, ())),
            copy=() if own else deployment.copy,
            environment={**deployment.environment, **self.environment},
            overlay=self.overlay or deployment.overlay,
            workers=self.workers.get(deployment.name, deployment.workers),
            proxy=self.proxy.get(deployment.name, deployment.proxy),
            unix_socket=self.unix_socket or deployment.unix_socket,
            backlog=self.backlog or deployment.backlog,
        )


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
    latency: Latency | None
    """``None`` if no response was valid."""
    bytes_received: int
    body_bytes: int
    """Length of the first response's body."""
    client_cpu_seconds: float | None
    """The load generator's own CPU time, user and system."""
    details: Mapping[str, int | float | str | None] = field(default_factory=dict)
    """Every further figure the generator printed, under its own names."""

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


ALIKE: Mapping[str, object] = {"alike": 0.0}
"""Metadata of a field of `Machine` that has to be equal for two machines to be alike."""
ALIKE_ROUGHLY: Mapping[str, object] = {"alike": 0.02}
"""The same for what the kernel works out anew at each boot: it may differ by this part."""


@dataclass(frozen=True)
class Machine(FromFile):
    """Where a run was made.

    Fields with the metadata `ALIKE` or `ALIKE_ROUGHLY` (hardware, the kernel and its limits) make
    two machines unlike; the others are only told. ``None``, or a setting that is absent: not told,
    which makes nobody unlike.
    """

    cpu: str = field(metadata=ALIKE)
    cores: int = field(metadata=ALIKE)
    """Logical ones: with two threads each, a core counts twice."""
    memory_bytes: int = field(metadata=ALIKE_ROUGHLY)
    system: str
    kernel: str = field(metadata=ALIKE)
    python: str
    somaxconn: int | None = field(metadata=ALIKE)
    """The kernel's bound on every listen queue."""
    open_files: int = field(metadata=ALIKE)
    """Soft limit of file descriptors; `sys.maxsize`: none."""
    versions: Mapping[str, str]
    """Package or program → version, of everything that takes part."""
    git_revision: str | None
    """Ends in ``+changes`` if the checkout had uncommitted changes."""
    physical_cores: int | None = field(default=None, metadata=ALIKE)
    affinity_cores: int | None = None
    """Cores that this process may run on (``taskset``, ``cpuset``)."""
    quota_cores: float | None = None
    """Cores' worth of time that its control group gets; ``None``: no quota."""
    usable_cores: float | None = field(default=None, metadata=ALIKE)
    """The least of cores, affinity and quota."""
    governor: str | None = field(default=None, metadata=ALIKE)
    """What sets the cores' frequency; virtual machines do not tell."""
    turbo: bool | None = field(default=None, metadata=ALIKE)
    memory_limit_bytes: int | None = None
    """Of its control group; ``None``: no limit."""
    usable_memory_bytes: int | None = field(default=None, metadata=ALIKE_ROUGHLY)
    """The lesser of memory and limit."""
    sysctls: Mapping[str, str] = field(default_factory=dict, metadata=ALIKE_ROUGHLY)
    """Settings of the kernel that a load meets, by name."""
    open_files_hard: int | None = field(default=None, metadata=ALIKE)
    container: str | None = field(default=None, metadata=ALIKE)
    """Its engine (``docker``, ``kubernetes`` …); ``none``: in no container."""
    hypervisor: str | None = field(default=None, metadata=ALIKE)
    """``kvm`` …, ``unknown``: one that does not say which; ``none``: a machine of its own."""
    steal_seconds: float | None = field(default=None, compare=False)
    """Since boot, over all cores; 0 can also mean that the hypervisor does not tell."""
    load_average: tuple[float, float, float] | None = field(default=None, compare=False)
    """At the start, over 1, 5 and 15 minutes."""
    python_build: str | None = None
    """Implementation, optimisation, compiler."""


RunStatus = Literal["running", "complete", "interrupted"]


@dataclass(frozen=True)
class Run(FromFile):
    """All trials of one command."""

    schema: int
    id: str
    status: RunStatus
    """``running`` in a file that nobody writes any more means: cut short without warning."""
    started: str
    finished: str | None
    command: tuple[str, ...]
    runner: str
    generator: str
    app: str
    workload: Workload
    seed: int
    rounds: int
    planned: tuple[tuple[int, str], ...]
    """(round, deployment) in the order of the plan."""
    machine: Machine
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Deployment → why it was left out."""
    notes: tuple[str, ...] = ()
    trials: tuple[Trial, ...] = ()
