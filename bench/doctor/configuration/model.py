"""What configuration files say, whatever their format: settings, and who starts what."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

from bench.doctor.findings import Check, Evidence, Finding
from bench.model import Deployment

ServerKind = Literal["gunicorn", "uwsgi", "nginx", "flask", "python"]
SupervisorKind = Literal["docker", "compose", "kubernetes", "systemd", "procfile", "script"]

TRUE = ("", "1", "true", "yes", "on")
"""What switches a setting on; the empty one is a flag without a value."""


@dataclass(frozen=True)
class Setting:
    """One setting, where it is given."""

    name: str
    value: object
    """As its format has it: text, or a Python value of gunicorn's."""
    evidence: Evidence

    @property
    def text(self) -> str:
        """Its value as text."""
        return str(self.value).strip()

    @property
    def number(self) -> float | None:
        """Its value as a number; ``None``: it is none, or not known before the start."""
        try:
            return float(self.text)
        except ValueError:
            return None

    @property
    def is_on(self) -> bool:
        """Whether it switches something on."""
        return self.value is True or self.text.lower() in TRUE


@dataclass(frozen=True)
class Settings:
    """Settings in the order in which they take effect: the last one of a name is the one."""

    given: tuple[Setting, ...] = ()

    def __or__(self, later: Self) -> Self:
        return type(self)((*self.given, *later.given))

    def every(self, *names: str) -> tuple[Setting, ...]:
        """Return all of these names."""
        return tuple(each for each in self.given if each.name in names)

    def last(self, *names: str) -> Setting | None:
        """Return the one that takes effect; ``None``: not given."""
        return next(reversed(self.every(*names)), None)

    def on(self, *names: str) -> Setting | None:
        """Return the switch of one of these names if it is on."""
        last = self.last(*names)
        return last if last and last.is_on else None

    def text(self, *names: str, default: str = "") -> str:
        """Return a value as text, or the server's default."""
        last = self.last(*names)
        return default if last is None or last.value is None else last.text

    def number(self, *names: str, default: float) -> float | None:
        """Return a number, or the server's default; ``None``: given, but not as a number."""
        last = self.last(*names)
        return default if last is None or last.value is None else last.number


@dataclass(frozen=True)
class Command:
    """A command line that is started."""

    words: tuple[str, ...]
    evidence: Evidence
    behind_shell: bool = False
    """A shell stays between whoever started it and the server, and gets the signals."""


@dataclass(frozen=True)
class Supervisor:
    """What starts servers and stops them: an image, a service, a pod, a unit, a script.

    Names in ``settings``: ``user`` ``stop-signal`` ``stop-grace`` (seconds) ``nofile``
    ``somaxconn`` ``kill-mode`` ``stop-command`` ``tmpfs`` ``image``.
    """

    kind: SupervisorKind
    name: str
    evidence: Evidence
    commands: tuple[Command, ...] = ()
    entrypoint: tuple[str, ...] = ()
    """How its commands begin, and how one that replaces them would."""
    settings: Settings = Settings()
    environment: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, Evidence] = field(default_factory=dict)
    """Where each variable of the environment is given."""

    @property
    def is_container(self) -> bool:
        """Whether it has a file system and a network of its own."""
        return self.kind in {"docker", "compose", "kubernetes"}


@dataclass(frozen=True)
class Server:
    """A server with all its settings: those of its file, then those of its command line."""

    kind: ServerKind
    settings: Settings
    evidence: Evidence
    """Where it is started, or the first line of its file."""
    supervisor: Supervisor | None = None
    command: Command | None = None
    patches_first: bool = False
    """Its configuration file patches gevent before it imports anything else."""
    complete: bool = True
    """All files that its command line names are here: what is not given has its default."""


@dataclass(frozen=True)
class Directive:
    """One of nginx's, with what is in its braces."""

    name: str
    arguments: tuple[str, ...]
    evidence: Evidence
    block: tuple["Directive", ...] = ()

    @property
    def first(self) -> str:
        """Its first argument; empty: it has none."""
        return self.arguments[0] if self.arguments else ""

    def inside(self, *names: str) -> tuple["Directive", ...]:
        """Return those of these names directly in its block."""
        return tuple(each for each in self.block if each.name in names)


@dataclass(frozen=True)
class Limits:
    """What the kernel grants here; ``None``: not told."""

    somaxconn: int | None
    open_files: int | None
    """The soft limit of a process."""


@dataclass(frozen=True)
class Facts:
    """All that the rules look at."""

    servers: tuple[Server, ...]
    supervisors: tuple[Supervisor, ...]
    nginx: tuple[Directive, ...]
    """The files of nginx: each a directive without a name, whose block is the file."""
    limits: Limits
    versions: Mapping[str, str]
    """Distribution → version, as far as the app's interpreter has told."""
    deployments: tuple[Deployment, ...] = ()

    def of(self, *kinds: ServerKind) -> tuple[Server, ...]:
        """Return the servers of these kinds."""
        return tuple(server for server in self.servers if server.kind in kinds and server.complete)


@dataclass(frozen=True)
class Seen:
    """One thing that a rule saw."""

    message: str
    evidence: tuple[Evidence, ...]
    details: Mapping[str, str] | None = None


def seen(message: str, *evidence: Evidence, **details: str) -> Seen:
    """Return what a rule saw, where, and what its check's ``fix`` is filled in with."""
    return Seen(message, evidence, details or None)


@dataclass(frozen=True)
class Rule:
    """A check, and the pure function that looks for it."""

    check: Check
    look: Callable[[Facts], Iterator[Seen]]

    def findings(self, facts: Facts) -> Iterator[Finding]:
        """Yield what it finds, one thing at one place once."""
        places = set()
        for each in self.look(facts):
            if each.evidence not in places:
                places.add(each.evidence)
                yield Finding(self.check, each.message, each.evidence, each.details)
