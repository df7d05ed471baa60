"""Deployments as processes of this machine, on free ports of 127.0.0.1."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from bench.errors import TrialError
from bench.machine import somaxconn
from bench.model import Deployment, Running, Target, Workload
from bench.own_app.needs import AppFacts, examine, require, unsuitable
from bench.own_app.scripts import inherited_environment
from bench.processes.ports import free_port, require_free
from bench.processes.process import ServerProcess
from bench.processes.ready import wait_until_ready
from bench.runners import RunnerOptions
from bench.services.nginx import find_nginx, nginx
from bench.services.postgres import external_postgres, mask_password, postgres
from bench.services.slow_api import slow_api
from bench.services.surroundings import RunningService, Surroundings
from bench.verify import readiness

HOST = "127.0.0.1"
START_WITHIN = 30.0
"""Seconds that a server may take until its first right answer."""
READY_GRACE = 15.0
"""Seconds that a server may take for its graceful stop; nothing is in flight then."""
NEVER_READY_GRACE = 2.0
"""The same for one that never answered, and may hang in the app's import."""
SCRATCH = "{scratch}"
"""In a setting of a deployment: a folder of this one start's, empty, gone afterwards."""
SETTINGS = frozenset(
    {
        "BIND", "WORKERS", "THREADS", "ASYNC_CORES", "BACKLOG", "FLASK_APP", "API_URL",
        "DATABASE_URL", "DB_POOL_SIZE",
    }
)  # fmt: skip


class LocalRunner:
    """Runs each deployment in a session of its own; services live as long as the run."""

    def __init__(self, options: RunnerOptions) -> None:
        self._options = options
        self._stack = ExitStack()
        self._services: dict[str, tuple[ExitStack, RunningService]] = {}
        self._facts: AppFacts | None = None
        self._copied = options.demo_folder
        if options.serves_own_app:
            # copies, as one would take them home: beside them there is nothing of the demo's
            self._copied = options.folder / "flask_app"

    def __enter__(self) -> Self:
        self._surroundings = Surroundings(
            folder=self._options.folder / "services",
            guardian=self._options.guardian,
            root=self._options.root,
            python=sys.executable,
        )
        self._surroundings.folder.mkdir(exist_ok=True)
        if self._options.serves_own_app:
            self._copied.mkdir(exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    @property
    def versions(self) -> Mapping[str, str]:
        """Those of an own app's interpreter; the fingerprint has all others."""
        return self._facts.versions if self._facts else {}

    notes = ()

    def left_out(self, deployments: Sequence[Deployment]) -> Mapping[str, str]:
        """Leave out what is behind nginx where there is none, and what an own app cannot have.

        Raises:
            UsageError: the user's own app cannot be imported, or its interpreter lacks a server.

        """
        left_out = {}
        if find_nginx() is None:
            left_out = {d.name: "nginx is not installed" for d in deployments if d.proxy}
        if self._options.serves_own_app:
            left_out |= self._unsuitable(deployments)
        return left_out

    def _unsuitable(self, deployments: Sequence[Deployment]) -> dict[str, str]:
        """Examine the user's own app, and return what cannot serve it."""
        app = self._options.app
        self._facts = examine(app, self._options.guardian)
        left_out = {d.name: why for d in deployments if (why := unsuitable(d, self._facts))}
        serving = [d for d in deployments if d.name not in left_out]
        if app.has_own_python:
            require(app, self._facts, serving)
        for name in dict.fromkeys(f for d in serving for f in d.copy if Path(f).suffix != ".conf"):
            shutil.copy(self._options.root / name, self._copied)
        return left_out

    @contextmanager
    def up(self, deployment: Deployment, workload: Workload, folder: Path) -> Iterator[Running]:
        """Start it, wait for its first right answer, and stop it at the end."""
        services = self._services_for(workload)
        port = self._port()
        own_port = free_port() if deployment.proxy else port
        command = self._command(deployment, own_port)
        with ExitStack() as stack:
            bind = f"{HOST}:{own_port}"
            if deployment.unix_socket:
                # not in the run's folder: a socket's path has at most 107 characters
                bind = f"unix:{stack.enter_context(TemporaryDirectory(prefix='bench-'))}/app.sock"
            settings = self._settings(deployment, workload, services, bind)
            if any(SCRATCH in value for value in settings.values()):
                scratch = stack.enter_context(self._options.guardian.temporary_directory())
                settings = {n: v.replace(SCRATCH, str(scratch)) for n, v in settings.items()}
            server = stack.enter_context(self._server(deployment, command, settings, folder))
            if deployment.proxy:
                proxy = self._proxy(deployment, folder, bind, port)
                services = (*services, stack.enter_context(proxy))
            roles = {"server": (server.pid,)} | {s.name: (s.pid,) for s in services if s.pid}
            target = Target(HOST, port, roles)

            def check() -> None:
                for service in services:
                    service.check()
                server.check_running()

            def why_not_ready() -> str | None:
                check()  # what has died will never get ready
                return readiness(target, workload)

            wait_until_ready(why_not_ready, [server], deadline=START_WITHIN, what=deployment.name)
            server.grace = READY_GRACE
            shown = dict.fromkeys(self._options.app.environment, "(from --env-file)")
            shown |= {name: mask_password(value) for name, value in settings.items()}
            yield Running(target, {"server": self._from_the_checkout(command)}, shown, check)

    def _server(
        self,
        deployment: Deployment,
        command: Sequence[str],
        settings: Mapping[str, str],
        folder: Path,
    ) -> ServerProcess:
        return ServerProcess(
            deployment.name,
            command,
            environment=self._environment(deployment, settings),
            cwd=self._first_on_path(deployment),
            log=folder / "server.log",
            guardian=self._options.guardian,
            grace=NEVER_READY_GRACE,
        )

    def _proxy(
        self, deployment: Deployment, folder: Path, app_address: str, port: int
    ) -> AbstractContextManager[RunningService]:
        return nginx(
            replace(self._surroundings, folder=folder),
            config=self._options.root / (deployment.proxy or ""),
            app_address=app_address,
            port=port,
            backlog=backlog(deployment) or 511,
        )

    def _port(self) -> int:
        if self._options.port is None:
            return free_port()
        require_free(HOST, self._options.port)
        return self._options.port

    def _command(self, deployment: Deployment, port: int) -> tuple[str, ...]:
        values = {
            "python": str(self._options.app.python),
            "flask_app": str(self._copied),
            "peers": str(self._options.root / "peers"),
            "host": HOST,
            "port": str(port),
            "workers": str(deployment.workers),
            "threads": str(deployment.threads),
            "async_cores": str(deployment.async_cores),
            "backlog": str(backlog(deployment)),
        }
        program, *arguments = (part.format_map(values) for part in deployment.command)
        beside_python = self._options.app.python.parent / program
        return (str(beside_python) if beside_python.exists() else program, *arguments)

    def _from_the_checkout(self, command: Sequence[str]) -> tuple[str, ...]:
        """Return the command as one would type it in the checkout: fit to be copied and shared."""
        copied, root = f"{self._copied.parent}/", f"{self._options.root}/"
        return tuple(part.replace(copied, "").replace(root, "") for part in command)

    def _settings(
        self,
        deployment: Deployment,
        workload: Workload,
        services: Sequence[RunningService],
        bind: str,
    ) -> dict[str, str]:
        """Return what the deployment's configuration file reads from its environment."""
        values: dict[str, object] = {
            # uWSGI takes a path as it is
            "BIND": bind.removeprefix("unix:") if deployment.server == "uwsgi" else bind,
            "FLASK_APP": self._options.app.spec,
            "WORKERS": deployment.workers,
            "THREADS": deployment.threads,
            "ASYNC_CORES": deployment.async_cores,
            "BACKLOG": backlog(deployment),
        }
        if workload.database_connections:
            values["DB_POOL_SIZE"] = workload.connections_per_process(deployment)
        settings = {name: str(value) for name, value in values.items() if value is not None}
        for service in services:
            settings.update(service.environment)
        return settings | dict(deployment.environment)

    def _first_on_path(self, deployment: Deployment) -> Path:
        """Return where it is started: every server looks there first for what it imports."""
        if deployment.overlay is None:
            return self._options.app.folder
        return self._options.root / deployment.overlay

    def _environment(self, deployment: Deployment, settings: Mapping[str, str]) -> dict[str, str]:
        inherited = inherited_environment(without=SETTINGS)
        app = self._options.app
        search: list[Path | str] = [self._first_on_path(deployment), app.folder, self._copied]
        if deployment.group is not None:
            search.append(self._options.root / "peers")
        if own := app.environment.get("PYTHONPATH"):
            search.append(own)
        # Nothing is written to the folder of somebody's app.
        unwritten = {"PYTHONDONTWRITEBYTECODE": "1"} if self._options.serves_own_app else {}
        return inherited | {
            "PATH": f"{app.python.parent}{os.pathsep}{inherited.get('PATH', os.defpath)}",
            "PYTHONUNBUFFERED": "1",
            "VIRTUAL_ENV": str(app.python.parent.parent),
            **unwritten,
            **app.environment,
            "PYTHONPATH": os.pathsep.join(dict.fromkeys(map(str, search))),
            **settings,
        }

    def _services_for(self, workload: Workload) -> tuple[RunningService, ...]:
        """Return the services that a workload uses, started or still running."""
        starters: dict[str, Callable[[], AbstractContextManager[RunningService]]] = {
            "api": lambda: slow_api(self._surroundings),
            "database": self._database,
        }
        return tuple(self._service(name, starters[name]) for name in workload.uses)

    def _database(self) -> AbstractContextManager[RunningService]:
        if self._options.database_url:
            return external_postgres(self._options.database_url)
        return postgres(self._surroundings, max_connections=self._options.database_connections)

    def _service(
        self, name: str, start: Callable[[], AbstractContextManager[RunningService]]
    ) -> RunningService:
        """Return the service; one that has died since the last trial is started anew."""
        if name in self._services:
            stack, service = self._services[name]
            try:
                service.check()
            except TrialError:
                stack.close()
                del self._services[name]
            else:
                return service
        stack = self._stack.enter_context(ExitStack())
        service = stack.enter_context(start())
        self._services[name] = stack, service
        return service


def backlog(deployment: Deployment) -> int | None:
    """Return its listen queue's length, at most what the kernel grants.

    uWSGI refuses to start above that bound; the others are cut down to it silently.
    """
    bound = somaxconn()
    if deployment.backlog is None or bound is None:
        return deployment.backlog
    return min(deployment.backlog, bound)
