"""What each role costs while the load runs: CPU, threads and memory of its processes."""

import csv
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from bench.model import RoleUsage

INTERVAL = 0.2
"""Seconds between two samples of CPU and threads."""
SLOW_EVERY = 5
"""Each so many samples, children are looked for and memory is read: both cost milliseconds."""

Roles = Mapping[str, Iterable[int]]

GONE = (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied)


@dataclass(frozen=True)
class Sample:
    """One role at one moment."""

    cpu_seconds: float
    threads: int
    processes: int
    memory_bytes: int | None = None


@dataclass
class _Role:
    """The processes of one role, with the CPU time of those that have ended meanwhile."""

    roots: tuple[int, ...]
    processes: dict[int, psutil.Process] = field(default_factory=dict)
    cpu_of: dict[tuple[int, float], float] = field(default_factory=dict)

    def find(self, children: Mapping[int, list[int]]) -> None:
        """Look for its processes: the roots and everything below them."""
        waiting, found = list(self.roots), dict[int, psutil.Process]()
        while waiting:
            pid = waiting.pop()
            if pid not in found:
                with suppress(*GONE):
                    found[pid] = self.processes.get(pid) or psutil.Process(pid)
                    waiting += children.get(pid, [])
        self.processes = found

    def sample(self, *, memory: bool) -> Sample:
        """Read all its processes; one that ends meanwhile keeps its last CPU time."""
        threads, alive, size = 0, 0, 0
        for process in list(self.processes.values()):
            with suppress(*GONE), process.oneshot():
                times = process.cpu_times()
                self.cpu_of[process.pid, process.create_time()] = times.user + times.system
                threads += process.num_threads()
                alive += 1
                if memory:
                    size += proportional_set_size(process)
        return Sample(sum(self.cpu_of.values()), threads, alive, size if memory else None)


class Sampler:
    """Samples roles in a thread of its own for as long as it is entered.

    Args:
        roles: role → ids of its root processes; their children count too.

    """

    def __init__(self, roles: Roles, *, interval: float = INTERVAL) -> None:
        self._roles = {name: _Role(tuple(roots)) for name, roots in roles.items()}
        self._interval = interval
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sampler", daemon=True)
        self._samples: list[tuple[float, str, Sample]] = []
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        self._sample(slow=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self._sample(slow=True)

    def usage(self, idle: Mapping[str, Sample]) -> dict[str, RoleUsage]:
        """Return what each role used while it was watched.

        Args:
            idle: what `snapshot` saw before the first request.

        """
        return {
            name: _summary(idle[name], [s for _, role, s in self._samples if role == name])
            for name in self._roles
            if name in idle
        }

    def write(self, file: Path) -> None:
        """Write every sample as CSV: one row per role and moment."""
        with file.open("w", newline="") as stream:
            rows = csv.writer(stream)
            rows.writerow(["seconds", "role", *Sample.__dataclass_fields__])
            rows.writerows(
                [f"{at:.3f}", role, *astuple(sample)] for at, role, sample in self._samples
            )

    def _watch(self) -> None:
        count = 0
        while not self._stopping.wait(self._interval):
            count += 1
            self._sample(slow=count % SLOW_EVERY == 0)

    def _sample(self, *, slow: bool) -> None:
        at = time.monotonic() - self._began
        if slow:
            children = _children_by_parent()
            for role in self._roles.values():
                role.find(children)
        self._samples += [
            (at, name, role.sample(memory=slow)) for name, role in self._roles.items()
        ]


def snapshot(roles: Roles) -> dict[str, Sample]:
    """Look at each role once; roles without a living process are absent."""
    children = _children_by_parent()
    seen = {}
    for name, roots in roles.items():
        role = _Role(tuple(roots))
        role.find(children)
        sample = role.sample(memory=True)
        if sample.processes:
            seen[name] = sample
    return seen


def proportional_set_size(process: psutil.Process) -> int:
    """Return a process's memory in bytes, each shared page divided by those that share it.

    Where the system does not tell (not Linux): the resident set size, which counts shared pages
    in full.
    """
    memory = process.memory_full_info()
    return int(getattr(memory, "pss", memory.rss))


def _children_by_parent() -> dict[int, list[int]]:
    """Read the whole process tree once, for all roles."""
    children: dict[int, list[int]] = {}
    for process in psutil.process_iter():
        with suppress(*GONE):
            children.setdefault(process.ppid(), []).append(process.pid)
    return children


def _summary(idle: Sample, samples: list[Sample]) -> RoleUsage:
    sizes = [s.memory_bytes for s in samples if s.memory_bytes is not None]
    return RoleUsage(
        cpu_seconds=samples[-1].cpu_seconds - samples[0].cpu_seconds,
        memory_bytes=max(sizes, default=None),
        processes_before=idle.processes,
        processes_during=max(s.processes for s in samples),
        threads_before=idle.threads,
        threads_during=max(s.threads for s in samples),
    )
