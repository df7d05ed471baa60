"""Samples every role while the load runs, in a thread of its own.

All of it costs the harness at most 2% of a core; docs/methodology.md has the figures.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.model import RoleUsage
from bench.observe import sockets
from bench.observe.namespaces import View, views_of
from bench.observe.processes import ProcessTable, Role, Watched, roles_of
from bench.observe.samples import Moment, Sample, figures, summary, write_csv

INTERVAL = 0.2
"""Seconds between two samples of CPU, threads and accept queues."""
SLOW_EVERY = 5
"""Each so many samples, new processes, memory, descriptors and connections are looked at too."""
MEMORY_BUDGET = 0.0025
"""Seconds of CPU for memory in each slow sample. The kernel walks through all pages of a process
for it: 2 ms for a Python worker, 20 to 29 ms for 97 processes of Postgres (measured). What the
budget does not reach keeps its last reading; the oldest are renewed first."""
SOCKETS_SHARE = 0.005
"""Part of a core for counting connections: once a second if a look takes up to 5 ms, else more
rarely. It took 2 to 7 ms with up to 73,000 sockets in TIME_WAIT, which the kernel walks over, and
38 ms where other programs filled all cores and caches (measured)."""

HARNESS, CLIENT = "harness", "client"
FRONT = ("docker-proxy", "nginx", "server")
"""The role that the load generator talks to: the first of these that listens where it runs."""
WORKERS_OF = ("server", "api")
"""Roles whose processes share the requests among themselves: what each one did is recorded."""

Roles = Mapping[str, Iterable[int]]


class Sampler:
    """Samples roles between `start` and `stop`; the harness itself is one of them.

    It looks at all of them once when it is created, which takes some hundredths of a second.

    Args:
        roles: role → ids of its root processes; their children count too.
        interval: seconds between two samples.

    """

    def __init__(self, roles: Roles, *, interval: float = INTERVAL) -> None:
        self._roles = {name: Role(tuple(roots)) for name, roots in roles.items()}
        self._roles[HARNESS] = Role((os.getpid(),), alone=True)
        self._views: list[View] = []
        self._table = ProcessTable()
        self._interval = interval
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sampler", daemon=True)
        self._moments: list[Moment] = []
        self._client: int | None = None
        self._sockets_due = 0.0
        self._began = time.monotonic()

        self._find_processes()
        self._views = views_of(self._roles)
        self._begin()
        self._sample(slow=True, edge=True)

    def start(self) -> None:
        """Begin: time and CPU time count from here on."""
        self._begin()
        self._thread.start()

    def stop(self) -> None:
        """End, with a last look at everything."""
        self._stopping.set()
        self._thread.join()
        self._sample(slow=True, edge=True)
        for view in self._views:
            view.close()
        for role in self._roles.values():
            role.close()

    def watch_client(self, pid: int) -> None:
        """Watch this process, the load generator, from now on."""
        self._client = pid

    def usage(self, idle: Mapping[str, Sample]) -> dict[str, RoleUsage]:
        """Return what each role used while it was watched.

        Args:
            idle: what `snapshot` saw before the first request.

        """
        seen = {name: self._of(name) for name in self._roles}
        return {
            name: summary(samples, idle.get(name))
            for name, samples in seen.items()
            if any(sample.processes for sample in samples)
        }

    def figures(self) -> dict[str, float]:
        """Return what else is known of each role, as ``<role>.<figure>``: see `samples.figures`."""
        return {
            f"{name}.{figure}": value
            for name in self._roles
            for figure, value in figures(
                self._roles[name], self._of(name), workers=name in WORKERS_OF
            ).items()
        }

    def write(self, file: Path) -> None:
        """Write every sample as CSV."""
        write_csv(self._moments, file)

    def _of(self, role: str) -> list[Sample]:
        return [sample for _, name, sample in self._moments if name == role]

    def _begin(self) -> None:
        self._began = time.monotonic()
        for role in self._roles.values():
            role.begin()

    def _watch(self) -> None:
        count = 1
        # By the clock and not by pauses, or the time that the samples take would add up.
        while not self._stopping.wait(
            max(0.0, self._began + count * self._interval - time.monotonic())
        ):
            self._sample(slow=count % SLOW_EVERY == 0)
            count += 1

    def _sample(self, *, slow: bool, edge: bool = False) -> None:
        at = time.monotonic() - self._began
        self._find_client()
        # CPU first: the last look at it does not count what the last look at all else costs.
        samples = {name: _glance(role) for name, role in self._roles.items()}
        self._add_queues(samples)
        if slow:
            self._find_processes()
            self._read_memory()
            self._add_memory(samples)
        if edge:
            self._add_connections(samples, time_wait=True)
        elif slow and at >= self._sockets_due:
            began = time.thread_time()
            self._add_connections(samples, time_wait=False)
            self._sockets_due = at + (time.thread_time() - began) / SOCKETS_SHARE
        self._moments += [(at, name, sample) for name, sample in samples.items()]

    def _find_client(self) -> None:
        # Its CPU time counts from its own start: only what ran before the load has a `begin`.
        if self._client and CLIENT not in self._roles:
            self._roles[CLIENT] = Role((self._client,))
            self._roles[CLIENT].adopt({self._client: 0})

    def _find_processes(self) -> None:
        new = self._table.new()
        for role in self._roles.values():
            role.adopt(new)

    def _read_memory(self) -> None:
        every = [each for role in self._roles.values() for each in role.members.values()]
        began = time.thread_time()
        for each in sorted(every, key=_memory_read):
            if each.memory_read and time.thread_time() - began > MEMORY_BUDGET:
                break
            each.read_memory()
        for each in every:
            each.read_open_files()

    def _add_memory(self, samples: Mapping[str, Sample]) -> None:
        for name, sample in samples.items():
            _weigh(sample, self._roles[name])

    def _add_queues(self, samples: Mapping[str, Sample]) -> None:
        for view in self._views:
            listening = view.listeners() if view.ports else []
            for name, ports in view.ports.items():
                if own := [each for each in listening if each.port in ports]:
                    samples[name].accept_queue = sum(each.waiting for each in own)
                    samples[name].backlog = sum(each.backlog for each in own)

    def _add_connections(self, samples: Mapping[str, Sample], *, time_wait: bool) -> None:
        for view in self._views:
            if view.ports:
                _add_connections_of(view, samples, time_wait=time_wait)


def snapshot(roles: Roles) -> dict[str, Sample]:
    """Look at each role once; roles without a living process are absent."""
    seen = {}
    for name, role in roles_of(roles).items():
        sample = _glance(role)
        if sample.processes:
            for each in role.members.values():
                each.read_memory()
            _weigh(sample, role)
            seen[name] = sample
        role.close()
    return seen


def _glance(role: Role) -> Sample:
    role.read()
    members = role.members.values()
    return Sample(role.cpu_seconds, sum(each.threads for each in members), len(members))


def _weigh(sample: Sample, role: Role) -> None:
    members = role.members.values()
    counts = [each.open_files for each in members if each.open_files is not None]
    sizes = [each.memory_bytes for each in members if each.memory_bytes is not None]
    # All or nothing: a sum over those that one may look at is no figure of the role.
    sample.memory_bytes = sum(sizes) if members and len(sizes) == len(members) else None
    sample.open_files = sum(counts) if counts else None


def _add_connections_of(view: View, samples: Mapping[str, Sample], *, time_wait: bool) -> None:
    """Count the connections of one network; the client's are in that of the harness."""
    fronts = FRONT if view.is_own else ()
    front = next((view.ports[name] for name in fronts if name in view.ports), set[int]())
    every = set[int]().union(*view.ports.values())
    told = sockets.connections(every, front, time_wait=time_wait, netlink=view.netlink)
    if told is None:
        return
    local, remote = told
    for name, ports in view.ports.items():
        _count(samples[name], [local[port] for port in ports], time_wait=time_wait)
    if front and CLIENT in samples:
        _count(samples[CLIENT], [remote[port] for port in front], time_wait=time_wait)


def _count(sample: Sample, by_port: Iterable[Counter[str]], *, time_wait: bool) -> None:
    for counts in by_port:
        sample.states.update(counts)
    waiting = sample.states["TIME_WAIT"]
    sample.connections = sample.states.total() - waiting
    sample.established = sample.states["ESTABLISHED"]
    sample.close_wait = sample.states["CLOSE_WAIT"]
    sample.time_wait = waiting if time_wait else None


def _memory_read(process: Watched) -> float:
    return process.memory_read
