"""Deployments as containers of the local Docker engine, from the files in ``compose/``.

The same files, by the same tool, that one starts by hand: Compose makes and starts the containers.
All else is asked of the engine's own command line, of which a call takes 0.03 s; one of Compose
1.29 takes ten times as long before it does anything.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from bench.errors import TrialError, UsageError
from bench.model import Deployment, Running, Target, Workload
from bench.own_app.app import DEMO_APP
from bench.processes.ports import free_port, require_free
from bench.processes.ready import wait_until_ready
from bench.runners import RunnerOptions
from bench.services.compose import Project, Started
from bench.services.docker import CommandFailedError, Container, find_docker
from bench.verify import readiness

HOST = "127.0.0.1"
START_WITHIN = 60.0
"""Seconds that a deployment may take until its first right answer; it takes about 1."""
HEALTHY_WITHIN = 60.0
"""Seconds that a service may take until it is healthy: Postgres sets its database up first."""
READY_GRACE = 15.0
"""Seconds that a server may take for its graceful stop; nothing is in flight then."""
NEVER_READY_GRACE = 2.0
"""The same for one that never answered, and may hang in the app's import."""
SERVICES = ("api", "database")
ROLES = {"app": "server", "nginx": "nginx", "api": "api", "database": "postgres"}
"""Service of the Compose file → role that its processes are watched as."""
LIMITS = ("CPUS", "NOFILE")
"""Variables of the Compose files that change what is measured, and that no option gives."""
HEALTH_INTERVAL = "2s"
NO_HEALTH_CHECKS = "1h"
"""Between two checks of the deployment: each costs CPU, and nothing waits for them here."""
NOT_SAMPLED = (
    "the engine's containers do not run on this machine's own kernel (Docker Desktop?): what they"
    " used is not known"
)
ONLY_FOR_ROOT = (
    "containers run as other users: their memory, connections and queues are told to root only"
)
MOST_CONNECTIONS = 97
"""What Postgres grants: compose/services.yml says max_connections=100, 3 are for superusers."""


class ComposeRunner:
    """Runs each deployment as fresh containers; the services' containers live as long as the run.

    All belong to one Compose project with a name of this run's own.
    """

    def __init__(self, options: RunnerOptions) -> None:
        self._options = options
        self._folder = options.folder / "services"
        self._services: dict[str, Started] = {}
        self._built: dict[tuple[str, ...], TrialError | None] = {}
        self._images: dict[str, str] = {}
        self._sampled: bool | None = None

    def __enter__(self) -> Self:
        self._refuse_what_is_not_supported()
        guardian = self._options.guardian
        self._docker = find_docker(guardian.environment)
        self._folder.mkdir(exist_ok=True)
        name = f"flask-bench-{guardian.token}"
        self._project = Project(self._docker, name, root=self._options.root, guardian=guardian)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            with suppress(TrialError):  # what does not stop in time is removed all the same
                self._project.end(SERVICES, grace=READY_GRACE, folder=self._folder)
        finally:
            self._project.remove()

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of the engine and Compose, and which image exactly each name stood for."""
        return {
            "docker engine": self._docker.engine_version,
            "docker compose": self._docker.compose_version,
            **self._images,
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to know of the whole run, as far as it is known so far."""
        if self._sampled is None:
            return ()
        if not self._sampled:
            return (NOT_SAMPLED,)
        return () if os.geteuid() == 0 else (ONLY_FOR_ROOT,)

    def left_out(self, deployments: Sequence[Deployment]) -> Mapping[str, str]:
        """Leave out variants, and the deployments that have no Compose file."""
        out = {d.name: "a variant runs with RUNNER=local only" for d in deployments if d.variant}
        for deployment in deployments:
            file = self._file(deployment)
            if not file.exists():
                out[deployment.name] = f"there is no {file.relative_to(self._options.root)}"
        return out

    @contextmanager
    def up(self, deployment: Deployment, workload: Workload, folder: Path) -> Iterator[Running]:
        """Start it, wait for its first right answer, and stop it at the end."""
        file = self._file(deployment)
        names = ("app", "nginx") if deployment.proxy else ("app",)
        self._build(file, ("app",))
        services = self._services_for(file, workload)
        port = self._port()
        settings = {**_limits(), **settings_of(deployment, workload), "PORT": str(port)}
        unasked = {**settings, "HEALTH_INTERVAL": NO_HEALTH_CHECKS}
        grace = NEVER_READY_GRACE
        try:
            # One by one: health checks come every few seconds, and a trial would wait for them.
            started = [each for n in names for each in self._project.start(file, [n], unasked)]
            containers = (*services, *started)
            target = Target(HOST, port, _roles(containers, port))

            def why_not_ready() -> str | None:
                for each in containers:
                    each.check_running()
                return readiness(target, workload)

            wait_until_ready(why_not_ready, started, deadline=START_WITHIN, what=deployment.name)
            self._note(containers)
            grace = READY_GRACE
            command = (*self._project.typed(file), "up", *names)
            yield Running(target, {"server": command}, settings, lambda: _check(containers))
        finally:
            self._project.end(names, grace=grace, folder=folder)

    def _refuse_what_is_not_supported(self) -> None:
        options = self._options
        if options.app.spec != DEMO_APP or options.serves_own_app:
            raise UsageError(
                "RUNNER=compose measures the demo app, whose image it can build. For an app of your"
                " own: start its container yourself and measure it with RUNNER=external URL=…, or"
                " run it with RUNNER=local."
            )
        if options.database_url:
            raise UsageError(
                "RUNNER=compose brings a Postgres of its own: unset DATABASE_URL, or use"
                " RUNNER=local with it"
            )
        if options.database_connections > MOST_CONNECTIONS:
            raise UsageError(
                f"so many WORKERS open {options.database_connections} connections to the database,"
                f" and that of compose/services.yml grants {MOST_CONNECTIONS}: fewer WORKERS, or"
                " RUNNER=local"
            )

    def _file(self, deployment: Deployment) -> Path:
        return self._options.root / "compose" / f"{deployment.base_name}.yml"

    def _port(self) -> int:
        if self._options.port is None:
            return free_port()
        require_free(HOST, self._options.port)
        return self._options.port

    def _build(self, file: Path, services: tuple[str, ...]) -> None:
        """Build images once per run; what failed once is not tried again in every trial."""
        key = (str(file), *services)
        if key not in self._built:
            try:
                self._project.build(file, services, self._folder / "build.log")
            except TrialError as failed:
                self._built[key] = failed
            else:
                self._built[key] = None
        if (error := self._built[key]) is not None:
            raise error

    def _services_for(self, file: Path, workload: Workload) -> list[Started]:
        """Return the services that a workload uses, started or still running."""
        for name, service in list(self._services.items()):
            try:
                service.check_running()
            except TrialError:
                del self._services[name]
                self._project.end([name], grace=NEVER_READY_GRACE, folder=self._folder)
        wanted = [name for name in SERVICES if name in workload.uses]
        if missing := [name for name in wanted if name not in self._services]:
            self._start_services(file, missing)
        return [self._services[name] for name in wanted]

    def _start_services(self, file: Path, names: Sequence[str]) -> None:
        if "api" in names:
            self._build(file, ("api",))
        try:
            started = self._project.start(file, names, {"HEALTH_INTERVAL": HEALTH_INTERVAL})
            wait_until_ready(
                lambda: _why_not_healthy(started),
                started,
                deadline=HEALTHY_WITHIN,
                what=" and ".join(names),
            )
        except BaseException:
            self._project.end(names, grace=NEVER_READY_GRACE, folder=self._folder)
            raise
        self._services |= dict(zip(names, started, strict=True))

    def _note(self, started: Sequence[Started]) -> None:
        """Note which images these containers were made of, and whether they can be sampled."""
        for each in started:
            container = each.container
            name = f"image {container.image}"
            if name not in self._images and container.service == "app":
                self._images |= self._python_in(container)
            self._images[name] = container.image_id[:19]
        self._sampled = all(each.container.is_of_this_kernel for each in started)

    def _python_in(self, container: Container) -> Mapping[str, str]:
        """Return the version of its Python, which may explain more than the container does."""
        code = "import platform; print(platform.python_version())"
        with suppress(CommandFailedError):
            told = self._docker.call("exec", container.id, "python", "-c", code).strip()
            return {f"python in {container.image}": told} if told else {}
        return {}


def settings_of(deployment: Deployment, workload: Workload) -> dict[str, str]:
    """Return what a Compose file fills in: only what the deployment has.

    The backlog in full: a container has a bound on listen queues of its own, and the file sets it.
    """
    values: dict[str, int | None] = {
        "WORKERS": deployment.workers,
        "THREADS": deployment.threads,
        "ASYNC_CORES": deployment.async_cores,
        "BACKLOG": deployment.backlog,
        "DB_POOL_SIZE": workload.connections_per_process(deployment),
    }
    return {name: str(value) for name, value in values.items() if value is not None}


def _limits() -> dict[str, str]:
    """Return the limits of the user's own that Compose is going to read: they belong on record."""
    return {name: os.environ[name] for name in LIMITS if name in os.environ}


def _roles(started: Sequence[Started], port: int) -> dict[str, tuple[int, ...]]:
    """Return the containers' first processes by role; none if they are not of this kernel."""
    containers = [each.container for each in started]
    if not all(each.is_of_this_kernel for each in containers):
        return {}
    roles = {ROLES[each.service]: (each.pid,) for each in containers}
    return {**roles, **({"docker-proxy": proxies} if (proxies := _proxies(port)) else {})}


def _proxies(port: int) -> tuple[int, ...]:
    """Return the processes of the engine that pass the published port on to the container."""
    found = []
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == "docker-proxy":
            with suppress(psutil.Error):
                words = process.cmdline()
                if ("-host-port", str(port)) in pairwise(words):
                    found.append(process.pid)
    return tuple(found)


def _why_not_healthy(started: Sequence[Started]) -> str | None:
    """Return which containers are not healthy yet; TrialError if one never will be."""
    for each in started:
        now = each.inspect()
        each.check(now)
        if now and now.health not in {None, "healthy"}:
            return f"{each.name} is {now.health}"
    return None


def _check(started: Sequence[Started]) -> None:
    for each in started:
        each.check(each.inspect())
