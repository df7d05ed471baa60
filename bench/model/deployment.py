"""What is run: deployments and the changes to them that have a name."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Self

from bench.model.from_file import FromFile

Service = Literal["api", "database"]


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
        backlog: int | None = None,
    ) -> Self:
        """Return it with other settings, each only where the server has that setting at all."""
        return replace(
            self,
            workers=self.workers and (workers or self.workers),
            threads=self.threads and (threads or self.threads),
            async_cores=self.async_cores and (async_cores or self.async_cores),
            backlog=self.backlog and (backlog or self.backlog),
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
