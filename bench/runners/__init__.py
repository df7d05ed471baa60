"""Where deployments run: a runner brings one up and yields it as a `Running` target."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, cast

from bench.errors import UsageError
from bench.model import Deployment, Running, Workload
from bench.own_app.app import OwnApp
from bench.processes.guardian import Guardian

REGISTRY = {
    "local": "bench.runners.local:LocalRunner",
    "compose": "bench.runners.compose:ComposeRunner",
    "external": "bench.runners.external:ExternalRunner",
}
"""Name → where its class is; imported only when it is chosen."""


@dataclass(frozen=True)
class RunnerOptions:
    """What every runner is told."""

    root: Path
    """The checkout: configuration files and services are taken from here."""
    folder: Path
    """The run's folder: the services' logs go there."""
    guardian: Guardian
    app: OwnApp
    """What is served: the demo, or the user's own."""
    port: int | None = None
    """Where the deployments are to listen; ``None``: on a free port each."""
    database_connections: int = 0
    """The most that any deployment of the run opens; a database of our own grants as many."""
    database_url: str | None = None
    """A database of the user's own; ``None``: the runner brings one up."""
    url: str | None = None
    """Where a deployment is up already."""
    may_load_this_host: bool = False
    """The user may put load on the host of that URL, which is not this one."""

    @property
    def demo_folder(self) -> Path:
        """Where the demo app is, and all that is copied from it."""
        return self.root / "flask_app"

    @property
    def serves_own_app(self) -> bool:
        """Whether it is an app of the user's, which may lack what the demo has."""
        return self.app.folder.resolve() != self.demo_folder.resolve()


class Runner(Protocol):
    """Brings deployments up, one at a time, and leaves nothing behind."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of what it used, which nobody else knows; complete when all trials are over."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the results has to know of it; complete when all trials are over."""

    def left_out(self, deployments: Sequence[Deployment]) -> Mapping[str, str]:
        """Return the deployments that cannot run here: name → why."""

    def up(
        self, deployment: Deployment, workload: Workload, folder: Path
    ) -> AbstractContextManager[Running]:
        """Start the deployment and what it needs; ready when it is entered, gone afterwards.

        Raises:
            TrialError: it did not come up; the text has the last lines of its log.

        """


def runner_names(text: str) -> tuple[str, ...]:
    """Return the runners of a list such as ``local,compose``.

    Raises:
        UsageError: one is unknown; the text lists those that there are.

    """
    names = tuple(dict.fromkeys(filter(None, (name.strip() for name in text.split(",")))))
    for name in names or (text,):
        if name not in REGISTRY:
            raise UsageError(f"no runner is called {name!r}. Known: {', '.join(REGISTRY)}")
    if "external" in names and len(names) > 1:
        raise UsageError("RUNNER=external goes alone: what is up already is not interleaved")
    return names


def make_runner(names: Sequence[str], options: RunnerOptions) -> Runner:
    """Return the runner of this name, or one that stands for several."""
    if len(names) > 1:
        several = import_module("bench.runners.several").SeveralRunners
        return cast("Runner", several(names, options))
    module, _, attribute = REGISTRY[names[0]].partition(":")
    return cast("Runner", getattr(import_module(module), attribute)(options))
