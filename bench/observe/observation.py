"""Everything that is watched around one load: the roles' samples and the kernel's counters."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from bench.model import RoleUsage, Surroundings
from bench.observe import kernel
from bench.observe.sampler import Roles, Sampler
from bench.observe.samples import Sample


class Guardian(Protocol):
    """What a load generator tells of its process."""

    def watch(self, pid: int, /) -> object:
        """Take note that it has been started."""

    def release(self, pid: int, /) -> object:
        """Take note that it has ended."""


class Observation:
    """Watches from the moment it is entered until the load generator ends.

    It stands in for the guardian: what the load generator tells that one of its process, this
    hears first. So the generator is watched too, and what the harness does with its output
    afterwards is not taken for a part of the load.

    Args:
        roles: role → ids of its root processes. They are looked at at once, before it is entered.
        guardian: is told everything that this is told.

    """

    def __init__(self, roles: Roles, guardian: Guardian) -> None:
        self._guardian = guardian
        self._sampler = Sampler(roles)
        self._places = kernel.places(pid for pids in roles.values() for pid in pids)
        self._before: Mapping[str, float] = {}
        self._growth: Mapping[str, float] | None = None

    def __enter__(self) -> Self:
        self._before = kernel.counters(self._places)
        self._sampler.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def watch(self, pid: int, /) -> object:
        """Watch the load generator."""
        self._sampler.watch_client(pid)
        return self._guardian.watch(pid)

    def release(self, pid: int, /) -> object:
        """End: the load generator has."""
        self._end()
        return self._guardian.release(pid)

    def usage(self, idle: Mapping[str, Sample]) -> dict[str, RoleUsage]:
        """Return what each role used; ``idle`` is what `snapshot` saw before all requests."""
        return self._sampler.usage(idle)

    def surroundings(self) -> Surroundings:
        """Return the growth of the kernel's counters, and each role's figures beside its usage."""
        return Surroundings({**(self._growth or {}), **self._sampler.figures()})

    def write(self, file: Path) -> None:
        """Write all samples as CSV."""
        self._sampler.write(file)

    def _end(self) -> None:
        if self._growth is None:
            self._growth = kernel.growth(self._before, kernel.counters(self._places))
            self._sampler.stop()
