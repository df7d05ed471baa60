"""The Docker engine and Compose, through their command lines.

The command line and not the engine's API: it knows contexts, remote engines and Docker Desktop,
and what the harness does can be typed.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import BenchError, MissingToolError, TrialError, UsageError
from bench.processes import logs

ASK_WITHIN = 30.0
"""Seconds for the engine to answer a question or to carry out a small order; it takes 0.03 to 1 s
where nothing else keeps it busy."""
FINISH_WITHIN = 5.0
"""Seconds that an order may go on after an interrupt: cut off half-way, it would leave the engine
at work on something that nobody waits for."""
TERM_WITHIN = 10.0

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"

_NOT_INHERITED = (
    # of Compose: they would change which files and which project are meant
    "COMPOSE_FILE", "COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME", "COMPOSE_PATH_SEPARATOR",
    "COMPOSE_ENV_FILES", "COMPOSE_DISABLE_ENV_FILE",
    # of the harness's Python: Compose 1.29 is a Python program too
    "PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS", "VIRTUAL_ENV",
)  # fmt: skip

_NOT_RUNNING = (
    "cannot connect to the docker daemon", "is the docker daemon running",
    "failed to connect to the docker api",  # since 29
)  # fmt: skip
_NOT_ALLOWED = ("permission denied while trying to connect", "got permission denied")

_REMEDIES = (
    (
        ("no space left on device", "disk quota exceeded"),
        "The disk is full: `docker system df` shows what takes the room of the engine, and"
        " `docker image prune` frees what no tag names.",
    ),
    (
        ("port is already allocated", "address already in use"),
        "The port is taken: stop who listens there (`docker ps`, `ss -tlnp`), or choose another"
        " one with PORT=.",
    ),
    (
        (
            "pull access denied", "manifest unknown", "no such host", "tls handshake timeout",
            "failed to resolve source metadata", "failed to resolve reference",
            "error pulling image", "i/o timeout", "network is unreachable",
            "client.timeout exceeded", "toomanyrequests", "connection refused",
        ),
        "An image cannot be pulled: is its registry reachable from here? PYTHON_IMAGE,"
        " POSTGRES_IMAGE and NGINX_IMAGE name others, or ones that are here already"
        " (`docker images`).",
    ),
)  # fmt: skip


class CommandFailedError(TrialError):
    """A call of the command line that failed; its text has the end of what it said."""

    def __init__(self, text: str, output: str = "") -> None:
        super().__init__(text)
        self.output = output
        """All that it said."""


@dataclass(frozen=True)
class Container:
    """One container as the engine describes it."""

    id: str
    service: str
    """Its name in the Compose file."""
    status: str
    """``created``, ``running``, ``exited`` …"""
    pid: int
    """Of its first process, in the engine's kernel; 0: it does not run."""
    exit_code: int
    restarts: int
    out_of_memory: bool
    health: str | None
    """``starting``, ``healthy``, ``unhealthy``; ``None``: the image has no health check."""
    error: str
    image: str
    """Name of its image …"""
    image_id: str
    """… and which one exactly that is."""

    @property
    def is_of_this_kernel(self) -> bool:
        """Whether its first process is to be seen here: not on another machine, or in a VM."""
        return is_here(self.pid, self.id)


def is_here(pid: int, container: str, proc: Path = Path("/proc")) -> bool:
    """Say whether this process of this kernel is in that container, by its control groups."""
    try:
        return container in (proc / str(pid) / "cgroup").read_text()
    except OSError:
        return False


@dataclass(frozen=True)
class Docker:
    """The engine's command line and Compose, both found and answering."""

    program: str
    compose: tuple[str, ...]
    """``docker compose`` (version 2) or ``docker-compose`` (1.29)."""
    engine_version: str
    compose_version: str
    mark: Mapping[str, str] = field(default_factory=dict)
    """Environment by which the guardian finds calls that are under way."""

    def call(self, *arguments: str, within: float = ASK_WITHIN) -> str:
        """Return what ``docker …`` prints.

        Raises CommandFailedError if it fails or takes longer.
        """
        return run((self.program, *arguments), self._environment({}), within=within)

    def call_compose(
        self,
        file: Path,
        project: str,
        *arguments: str,
        settings: Mapping[str, str],
        within: float,
        finish_within: float,
    ) -> str:
        """Return what Compose prints, called for a file in the checkout.

        Raises CommandFailedError if it fails or takes longer.
        """
        return run(
            (*self.compose, "-f", str(file), "-p", project, *arguments),
            self._environment(settings),
            within=within,
            finish_within=finish_within,
            mixed=True,
        )

    def containers(self, project: str, *services: str) -> list[str]:
        """Return the ids of a project's containers, in the order of these services; none: all."""
        shown = self.call(
            *("ps", "--all", "--no-trunc", "--filter", f"label={PROJECT_LABEL}={project}"),
            *("--format", f'{{{{.ID}}}} {{{{.Label "{SERVICE_LABEL}"}}}}'),
        )
        found = [line.partition(" ") for line in shown.splitlines()]
        if not services:
            return [name for name, _, _ in found]
        return [name for wanted in services for name, _, service in found if service == wanted]

    def inspect(self, ids: Sequence[str]) -> list[Container]:
        """Return what the engine knows of these containers."""
        return [_container(each) for each in json.loads(self.call("inspect", *ids))]

    def log(self, container: str, lines: int | None = None) -> str:
        """Return what a container has written, or the last lines of it."""
        tail = () if lines is None else ("--tail", str(lines))
        command = (self.program, "logs", *tail, container)
        return run(command, self._environment({}), within=ASK_WITHIN, mixed=True)

    def _environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        return {**environment(), **self.mark, **settings}


def environment() -> dict[str, str]:
    """Return this process's environment without what would change what Compose does."""
    return {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}


def find_docker(mark: Mapping[str, str]) -> Docker:
    """Find the engine and Compose, and ask both for their versions.

    Raises MissingToolError or UsageError with the remedy.
    """
    program = shutil.which("docker")
    if program is None:
        raise MissingToolError(
            "docker is not installed: https://docs.docker.com/engine/install, or on Debian and"
            " Ubuntu `sudo apt install docker.io docker-compose`"
        )
    own = {**environment(), **mark}
    require_this_host(_endpoint(program, own))
    engine = _engine_version(program, own)
    compose, version = _find_compose(program, own)
    return Docker(program, compose, engine, version, mark)


def require_this_host(endpoint: str) -> None:
    """Raise UsageError for an engine elsewhere: its published ports are on that machine."""
    if endpoint.partition("://")[0] in {"ssh", "tcp", "http", "https"}:
        raise UsageError(
            f"the Docker engine is on another machine ({endpoint}), where its ports are published"
            " too. Unset DOCKER_HOST or `docker context use default`; or start the deployment"
            " there and measure it with RUNNER=external."
        )


def _endpoint(program: str, own: Mapping[str, str]) -> str:
    with suppress(CommandFailedError):
        format_ = "{{.Endpoints.docker.Host}}"
        return run((program, "context", "inspect", "--format", format_), own, within=5.0).strip()
    return ""


def _engine_version(program: str, own: Mapping[str, str]) -> str:
    try:
        command = (program, "version", "--format", "{{.Server.Version}}")
        return run(command, own, within=ASK_WITHIN).strip()
    except CommandFailedError as error:
        raise _why_no_engine(str(error)) from error


def _why_no_engine(said: str) -> BenchError:
    lower = said.lower()
    if any(words in lower for words in _NOT_ALLOWED):
        return UsageError(
            "you may not use the Docker engine: `sudo usermod -aG docker $USER`, then log in again"
            " (members of that group have root's rights on this machine)"
        )
    if any(words in lower for words in _NOT_RUNNING):
        return UsageError(
            "the Docker engine is not running: `sudo systemctl start docker` (or start Docker"
            " Desktop); `docker info` shows more"
        )
    return UsageError(f"the Docker engine does not answer; `docker info` shows more.\n{said}")


def _find_compose(program: str, own: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    standalone = shutil.which("docker-compose")
    candidates = [(program, "compose"), *([(standalone,)] if standalone else [])]
    for command in candidates:
        with suppress(CommandFailedError):
            version = run((*command, "version", "--short"), own, within=ASK_WITHIN)
            return command, version.strip().removeprefix("v")
    raise MissingToolError(
        "Docker Compose is not installed: `sudo apt install docker-compose-plugin` (Docker's own"
        " packages) or `sudo apt install docker-compose` (Debian, Ubuntu); 1.29 or newer"
    )


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    within: float,
    finish_within: float = FINISH_WITHIN,
    mixed: bool = False,
) -> str:
    """Run a command to its end and return what it prints, with ``mixed`` its errors among it.

    In a session of its own: Ctrl-C in the terminal reaches the harness, which lets it end.
    Raises CommandFailedError if it fails or takes longer than ``within`` seconds.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if mixed else subprocess.PIPE,
            env=environment,
            start_new_session=True,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise CommandFailedError(f"`{_shown(command)}` cannot start: {error.strerror}") from error
    try:
        output, errors = process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        output, errors = _end(process, 0.0)
        raise CommandFailedError(
            f"`{_shown(command)}` did not end within {within:g} s; `docker info` shows how the"
            f" engine is.\n{logs.shorten(output + errors)}".rstrip(),
            output + errors,
        ) from None
    except BaseException:
        _end(process, finish_within)
        raise
    if process.returncode:
        said = f"{output}\n{errors or ''}".strip()
        raise CommandFailedError(_why_failed(command, process.returncode, said), said)
    return output


def _end(process: subprocess.Popen[str], patience: float) -> tuple[str, str]:
    """See a command to its end: by itself, by TERM, by KILL. No further interrupt stops this."""
    for number, seconds in ((None, patience), (signal.SIGTERM, TERM_WITHIN), (signal.SIGKILL, 5.0)):
        if number:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                output, errors = process.communicate(timeout=left)
            except subprocess.TimeoutExpired:
                break
            except KeyboardInterrupt:
                continue
            return output, errors or ""
    return "", ""


def _why_failed(command: Sequence[str], status: int, said: str) -> str:
    lower = said.lower()
    remedies = [remedy for marks, remedy in _REMEDIES if any(mark in lower for mark in marks)]
    first = f"`{_shown(command)}` failed with status {status}:"
    return "\n".join([first, logs.shorten(said) or "(it said nothing)", *remedies[:1]])


def _shown(command: Sequence[str]) -> str:
    """Return the command as one would type it: short where it names many containers."""
    program, *arguments = command
    words = [Path(program).name, *(each[:12] if len(each) == 64 else each for each in arguments)]  # noqa: PLR2004 - an id
    return " ".join(words)


def _container(told: Mapping[str, Any]) -> Container:
    state, config = told["State"], told["Config"]
    return Container(
        id=told["Id"],
        service=(config.get("Labels") or {}).get(SERVICE_LABEL, told["Name"].lstrip("/")),
        status=state["Status"],
        pid=state["Pid"],
        exit_code=state["ExitCode"],
        restarts=told.get("RestartCount", 0),
        out_of_memory=state.get("OOMKilled", False),
        health=(state.get("Health") or {}).get("Status"),
        error=state.get("Error", ""),
        image=config["Image"],
        image_id=told["Image"],
    )
