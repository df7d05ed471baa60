"""What a verdict is, and what the rules see of a trial to come to it."""

from collections.abc import Iterable
from dataclasses import dataclass

from bench.model import Measurement, Trial, Workload

IDLE_STATES = ("idle", "iowait")
"""Of /proc/stat. What is not idle is busy: the busy states are counted by ticks, between which many
short requests fit. Under `hello` at c=20 all states together came to 72% of the time (measured)."""
NOBODYS_STATES = ("irq", "softirq", "steal")
"""Busy time that belongs to no program of this machine."""


@dataclass(frozen=True)
class Verdict:
    """What limited a trial, how one sees it, and what to do about it."""

    limit: str
    evidence: str
    remedy: str = ""
    by_arithmetic: bool = False
    """The ceiling was reached: the workload sets the figure, not the server."""
    warnings: tuple[str, ...] = ()
    """What speaks against trusting the trial's figures, whatever limited it."""


@dataclass(frozen=True)
class Seen:
    """A valid trial as the rules look at it."""

    trial: Trial
    measurement: Measurement
    workload: Workload
    cores: int

    @property
    def seconds(self) -> float:
        """How long the load took."""
        return self.measurement.seconds

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.measurement.requests_per_second

    @property
    def at_once(self) -> int:
        """The most requests that were in service together, by concurrency and slots."""
        slots = self.trial.deployment.slots
        concurrency = self.trial.load.concurrency
        return concurrency if slots is None else min(concurrency, slots)

    def counter(self, name: str) -> float:
        """Return the growth of a kernel's counter, or a role's figure; 0 where it is not known."""
        surroundings = self.trial.surroundings
        return surroundings.counters.get(name, 0.0) if surroundings else 0.0

    def knows(self, name: str) -> bool:
        """Whether there is such a counter."""
        return self.trial.surroundings is not None and name in self.trial.surroundings.counters

    def detail(self, name: str) -> float:
        """Return one of the load generator's own numbers; 0 where it gave none."""
        value = self.measurement.details.get(name)
        return value if isinstance(value, int | float) else 0.0

    def cores_used(self, role: str) -> float | None:
        """Return how many cores a role's processes used on average; ``None``: not watched."""
        if role == "client" and self.measurement.client_cpu_seconds is not None:
            # Exact, where the samples miss what came after the last of them.
            return self.measurement.client_cpu_seconds / self.seconds
        usage = self.trial.usage.get(role)
        return usage.cpu_seconds / self.seconds if usage else None

    def of_workers(self, role: str, figure: str) -> list[float]:
        """Return a figure of each process of a role that took part in serving, largest first.

        A parent that only waits for its workers used next to no CPU beside them.
        """
        cpu, wanted = self._each(role, "cpu_seconds"), self._each(role, figure)
        most = max(cpu, default=0.0)
        took_part = (each for each, spent in zip(wanted, cpu, strict=False) if spent > most / 20)
        return sorted(took_part, reverse=True)

    def machine_busy(self) -> float | None:
        """Return the part of all cores that was not idle; ``None``: this system does not tell."""
        if not self.knows("cpu_idle_seconds"):
            return None
        return max(0.0, 1 - self._cpu(IDLE_STATES) / self.seconds / self.cores)

    def others(self) -> float | None:
        """Return how many cores programs used that are no part of the trial; ``None``: unknown.

        A server that is not sampled would be taken for one of them.
        """
        busy = self.machine_busy()
        if busy is None or "server" not in self.trial.usage:
            return None
        nobodys = self._cpu(NOBODYS_STATES) / self.seconds
        return max(0.0, busy * self.cores - nobodys - self.all_roles())

    def all_roles(self) -> float:
        """Return how many cores all roles used together."""
        return sum(self.cores_used(role) or 0.0 for role in {*self.trial.usage, "client"})

    def shares(self) -> str:
        """Return each role's CPU as text, largest first."""
        used = {role: self.cores_used(role) or 0.0 for role in {*self.trial.usage, "client"}}
        ranked = sorted(used.items(), key=lambda item: -item[1])
        return ", ".join(f"{role} {cores:.2f}" for role, cores in ranked if cores >= 0.005)  # noqa: PLR2004

    def _each(self, role: str, figure: str) -> list[float]:
        found, number = [], 1
        while self.knows(name := f"{role}.{number}.{figure}"):
            found.append(self.counter(name))
            number += 1
        return found

    def _cpu(self, states: Iterable[str]) -> float:
        return sum(self.counter(f"cpu_{state}_seconds") for state in states)
