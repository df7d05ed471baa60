"""One Compose project: containers made from a file in the checkout, started, looked at, ended."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.errors import TrialError
from bench.machine import cgroup
from bench.machine.system import HERE
from bench.processes import logs
from bench.processes.guardian import Guardian
from bench.services.docker import FINISH_WITHIN, CommandFailedError, Container, Docker
from bench.services.docker_cleanup import LOOKS_IF_CUT_SHORT, remove_project

BUILD_WITHIN = 1800.0
"""Seconds for all images of a file, from nothing; a compiler takes most of them."""
CREATE_WITHIN = 600.0
"""Seconds to make containers: 1 where the images are here, minutes where they are pulled first."""
ENGINE_SLACK = 15.0
"""Seconds that the engine may take on top of a container's own grace to end it."""
SHOWN_LINES = 200
"""Last lines of a container's log that are asked for, of which the telling ones are shown."""
LOG_NAMES = {"app": "server.log"}
"""As where it is a process; of all other services the log has their name."""


@dataclass(frozen=True)
class Started:
    """A container that has been started."""

    container: Container
    docker: Docker
    more: str
    """The command that shows it at work."""

    @property
    def name(self) -> str:
        """Its service, as messages call it."""
        return f"the container {self.container.service}"

    def check_running(self) -> None:
        """Raise TrialError with the end of its log if it has ended: asks this kernel if it can."""
        if not self.container.is_of_this_kernel:
            self.check(self.inspect())

    def inspect(self) -> Container | None:
        """Return what the engine knows of it now; ``None``: it is gone."""
        with suppress(CommandFailedError):
            return self.docker.inspect([self.container.id])[0]
        return None

    def check(self, now: Container | None) -> None:
        """Raise TrialError with the end of its log if it is not what was started, and healthy."""
        if problem := self._problem(now):
            raise TrialError(f"{self.name} {problem}; {self.describe_log()}")

    def describe_log(self) -> str:
        """Return the last lines of its log, and the command to see more."""
        try:
            said = logs.shorten(self.docker.log(self.container.id, SHOWN_LINES))
        except CommandFailedError as error:
            said = f"(no log: {error})"
        return f"the end of its log:\n{said or '(the log is empty)'}\nTo see more: {self.more}"

    def _problem(self, now: Container | None) -> str | None:
        if now is None:
            return "is gone: somebody removed it, or the engine has stopped"
        limit = "it used more memory than its limit in the Compose file"
        why = f" ({now.error})" if now.error else ""
        lost = now.is_of_this_kernel and cgroup.oom_kills(HERE, now.pid)
        problems = {
            f"was killed: {limit}": now.out_of_memory,
            f"ended and was started again, {now.restarts} times": now.restarts > 0,
            f"{now.status} with status {now.exit_code}{why}": now.status != "running",
            "was started again by somebody else": now.pid != self.container.pid,
            "is unhealthy, by its own health check": now.health == "unhealthy",
            f"lost a process: {limit}": bool(lost),
        }
        return next((problem for problem, there in problems.items() if there), None)


class Project:
    """Containers under one project name; nothing of them is left after `remove`."""

    def __init__(self, docker: Docker, name: str, *, root: Path, guardian: Guardian) -> None:
        """Have it removed from now on even if the harness is killed."""
        self.docker = docker
        self.name = name
        self._root = root
        self._guardian = guardian
        self._looks = 1
        command = (sys.executable, "-P", "-m", remove_project.__module__, docker.program, name)
        guardian.watch_command(name, command)

    def build(self, file: Path, services: Sequence[str], log: Path) -> None:
        """Build the images of these services; what is cached is not built again.

        Raises TrialError with the end of what was said; all of it is in ``log``.
        """
        # Version 1 leaves the container of a failed step behind; version 2 has none.
        options = ("--force-rm",) if self.docker.compose_version.startswith("1.") else ()
        said = ""
        try:
            said = self._compose(file, "build", *options, *services, within=BUILD_WITHIN)
        except CommandFailedError as error:
            said = error.output
            raise TrialError(
                f"the image of {' and '.join(services)} cannot be built: {error}\n"
                f"To see more: {log}, or {self.shown(file, 'build', *services)}"
            ) from error
        finally:
            with suppress(OSError), log.open("a") as stream:  # the remedy is in the error, too
                stream.write(said)

    def start(
        self, file: Path, services: Sequence[str], settings: Mapping[str, str]
    ) -> list[Started]:
        """Make and start the containers of these services, and of none that they depend on.

        Of services that depend on each other in one call the second waits until the first is
        healthy. Raises TrialError if one does not start. What was made is there all the same.
        """
        more = self.shown(file, "up", *services, settings=settings)
        words = ("up", "--detach", "--no-deps", "--no-build", "--quiet-pull", *services)
        try:
            self._compose(file, *words, settings=settings, within=CREATE_WITHIN)
            ids = self.docker.containers(self.name, *services)
        except CommandFailedError as error:
            raise TrialError(
                f"{' and '.join(services)} did not start: {error}\nTo see more: {more}"
            ) from error
        return [Started(each, self.docker, more) for each in self.docker.inspect(ids)]

    def end(self, services: Sequence[str], *, grace: float, folder: Path) -> None:
        """Stop the containers of these services, keep their logs in ``folder``, remove them.

        An interrupt cuts the grace short, not the rest. Raises TrialError if one cannot be removed.
        """
        ids = self.docker.containers(self.name, *services)
        if not ids:
            return
        try:
            seconds = str(max(1, round(grace)))
            self.docker.call("stop", "-t", seconds, *ids, within=grace + ENGINE_SLACK)
        finally:
            try:
                self._keep_logs(ids, folder)
            finally:
                self.docker.call("rm", "--force", "--volumes", *ids)

    def remove(self) -> None:
        """Remove all that is left of it.

        Raises TrialError with what could not be removed; the guardian tries again at the end.
        """
        left = remove_project(self.docker, self.name, looks=self._looks)
        if left:
            kind, name = left[0].split()
            force = " --force" if kind == "container" else ""
            raise TrialError(
                f"the engine did not remove {', '.join(left)}; `docker {kind} rm{force} {name}`"
                " says why"
            )
        self._guardian.release_command(self.name)

    def shown(self, file: Path, *words: str, settings: Mapping[str, str] | None = None) -> str:
        """Return a call of Compose as one would type it in the checkout."""
        values = (f"{name}={value}" for name, value in (settings or {}).items())
        return f"`{' '.join((*values, *self.typed(file), *words))}`"

    def typed(self, file: Path) -> tuple[str, ...]:
        """Return the beginning of a call of Compose as one would type it in the checkout."""
        program, *rest = self.docker.compose
        return (Path(program).name, *rest, "-f", str(file.relative_to(self._root)))

    def _compose(
        self,
        file: Path,
        *arguments: str,
        within: float,
        settings: Mapping[str, str] | None = None,
    ) -> str:
        # A build can be cut off at any time: the engine drops what it has not finished.
        patience = 0.0 if arguments[0] == "build" else FINISH_WITHIN
        try:
            return self.docker.call_compose(
                file,
                self.name,
                *arguments,
                settings=settings or {},
                within=within,
                finish_within=patience,
            )
        except BaseException:
            self._looks = LOOKS_IF_CUT_SHORT
            raise

    def _keep_logs(self, ids: Iterable[str], folder: Path) -> None:
        for each in self.docker.inspect(list(ids)):
            log = folder / LOG_NAMES.get(each.service, f"{each.service}.log")
            # a full disk, or a log driver that keeps nothing, makes no trial wrong
            with suppress(OSError, CommandFailedError), log.open("a") as stream:
                stream.write(self.docker.log(each.id))
