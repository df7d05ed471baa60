"""All that the checks look at: what the import left, and the app's own source."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.doctor.findings import Check, Evidence, Finding
from bench.doctor.sources import Sources
from bench.model import Deployment
from bench.own_app.app import OwnApp


@dataclass(frozen=True)
class CodePlace:
    """Where a function is defined."""

    file: str
    line: int


@dataclass(frozen=True)
class Thread:
    """A thread that runs code of the app's own after its import."""

    name: str
    code: CodePlace


@dataclass(frozen=True)
class Connection:
    """A stream that is connected after the import."""

    fd: str
    peer: str


@dataclass(frozen=True)
class SocketFacts:
    """What ``socket.socket`` is after the import."""

    type: str
    cooperative: bool
    """Whether it is gevent's, or made of it."""
    eventlet: tuple[str, ...] = ()
    """What eventlet has patched."""


@dataclass(frozen=True)
class Name:
    """A name at the top level of an own module, and what it stands for."""

    module: str
    name: str
    what: str


@dataclass(frozen=True)
class HttpSession:
    """A ``requests.Session`` that an own module holds."""

    module: str
    name: str
    maxsize: int
    """Connections to a host that it keeps."""


@dataclass(frozen=True)
class Engine:
    """An engine of SQLAlchemy's."""

    dialect: str
    driver: str
    url: str
    """Without its password."""
    pool: str
    size: int | None = None
    overflow: int | None = None
    """-1: without a bound."""
    timeout: float | None = None

    @property
    def most(self) -> int | None:
        """The most connections that a process opens; ``None`` if it is not known or unbounded."""
        if self.size is None or self.overflow is None or self.overflow < 0 or self.size == 0:
            return None
        return self.size + self.overflow


@dataclass(frozen=True)
class Psycopg2:
    """How psycopg2 waits."""

    green: bool


@dataclass(frozen=True)
class PsycopgPool:
    """A pool of psycopg_pool."""

    kind: str
    max: int


@dataclass(frozen=True)
class SignalHandler:
    """A signal whose handler the import has changed."""

    signal: str
    handler: str
    code: CodePlace | None = None


@dataclass(frozen=True)
class Secret:
    """What may be known of a key."""

    hash: str
    short: bool
    public: bool
    """It stands in tutorials."""


@dataclass(frozen=True)
class FlaskApp:
    """Settings of a Flask app."""

    debug: bool = False
    testing: bool = False
    secret: Secret | None = None
    signs_sessions: bool = True
    """Whether the session is a signed cookie; others keep it on a server, and need no key."""
    middleware: tuple[str, ...] = ()
    limiter_in_memory: bool = False
    socketio: bool = False


@dataclass(frozen=True)
class PatchCall:
    """A call of ``monkey.patch_all`` by the app itself."""

    file: str
    line: int
    loaded: tuple[str, ...]
    """Which of `CHOOSES_AT_IMPORT` were imported by then."""


CHOOSES_AT_IMPORT = ("psycopg",)
"""Modules that choose how they wait when they are imported (psycopg#527)."""


@dataclass(frozen=True)
class Imported:
    """What one import of the app left in its process (`bench/doctor/inside/`)."""

    python: str
    prefix: str
    kind: str
    type: str
    file: str | None = None
    gevent: str | None = None
    """The version that patched before the import; ``None`` if nothing did."""
    gevent_error: str | None = None
    psycogreen_error: str | None = None
    distributions: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, str] = field(default_factory=dict)
    """Module → file of the app's own."""
    drivers: tuple[str, ...] = ()
    threads: tuple[Thread, ...] = ()
    schedulers: tuple[str, ...] = ()
    connections: tuple[Connection, ...] = ()
    patched_socket: SocketFacts = SocketFacts("socket.socket", cooperative=False)
    references: tuple[Name, ...] = ()
    taken: tuple[Name, ...] = ()
    """What installed modules took before the patch."""
    locks: tuple[Name, ...] = ()
    http_sessions: tuple[HttpSession, ...] = ()
    engines: tuple[Engine, ...] = ()
    psycopg2: Psycopg2 | None = None
    database_connections: tuple[Name, ...] = ()
    pools: tuple[PsycopgPool, ...] = ()
    changed_signals: tuple[SignalHandler, ...] = ()
    flask_app: FlaskApp | None = None
    patch_calls: tuple[PatchCall, ...] = ()
    unseen: Mapping[str, str] = field(default_factory=dict)
    """What could not be looked at, and why."""


@dataclass(frozen=True)
class Facts:
    """Everything."""

    app: OwnApp
    deployments: Sequence[Deployment]
    imported: Imported
    """As the first of the deployments imports it."""
    sources: Sources
    by_itself: Imported | None = None
    """The same without our patch, where the app patches by itself."""
    key_of_another: str | None = None
    """The fingerprint of the secret key in a second process, where that was looked at."""

    @property
    def cooperative(self) -> tuple[Deployment, ...]:
        """The deployments that serve with gevent."""
        return tuple(each for each in self.deployments if uses_gevent(each))

    @property
    def workers(self) -> int:
        """The most processes of any of the deployments."""
        return max(each.processes for each in self.deployments)

    def line_of(self, module: str, name: str) -> Evidence:
        """Return where a module gives a name its value, as well as that can be told."""
        source = self.sources.by_module.get(module)
        line = source and source.reader.lines_of_names.get(name)
        if source and line:
            return source.evidence(line)
        return Evidence(f"{module}.{name}", self.imported.own.get(module))


def uses_gevent(deployment: Deployment) -> bool:
    """Tell whether a deployment of the catalog patches before it imports the app."""
    return deployment.async_cores is not None and deployment.group is None


Look = Callable[[Facts], Iterable[Finding]]
"""Returns what a check finds."""


@dataclass(frozen=True)
class Rule:
    """A check, and how it looks."""

    check: Check
    look: Look
    gevent_only: bool = True
    """Whether it says something only where gevent serves."""
