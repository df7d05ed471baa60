"""The processes of one role: who they are, and what each has used."""

import ctypes
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

GONE = (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied)
_HAS_STAT = Path("/proc/self/stat").exists()
# Of what follows the program's name in /proc/<pid>/stat (proc(5)): num_threads.
_THREADS = 17


class Watched:
    """One process, known by an open file: its id may be given to another one later.

    psutil reads the same figures in 58 µs, a file that stays open and a clock give them in 7 µs:
    beside a hundred processes five times a second, that is 3% of a core or 0.4%.
    """

    def __init__(self, pid: int) -> None:
        """Take hold of it; OSError or one of psutil's errors if there is no such process."""
        self.pid = pid
        self.cpu_seconds = 0.0
        self.cpu_at_start = 0.0
        self.threads = 0
        self.memory_bytes: int | None = None
        self.memory_read = 0.0
        """When; 0: never."""
        self.open_files: int | None = None
        self.held: list[int] = []
        """Counts of its open files at each slow look: connections come and go with them."""
        self._process = psutil.Process(pid)
        self._clock = _cpu_clock(pid) if _HAS_STAT else None
        self._stat = os.open(f"/proc/{pid}/stat", os.O_RDONLY) if _HAS_STAT else None

    def close(self) -> None:
        """Let go of it."""
        if self._stat is not None:
            os.close(self._stat)
            self._stat = None

    def read(self) -> bool:
        """Read CPU time and threads; False: it has ended."""
        if self._stat is None or self._clock is None:
            try:
                times = self._process.cpu_times()
                self.cpu_seconds = times.user + times.system
                self.threads = self._process.num_threads()
            except GONE:
                return False
            return True
        try:
            text = os.pread(self._stat, 1024, 0)
            # Its own clock counts in nanoseconds, the file in ticks of 10 ms: of a small load a
            # worker's share may be less than one.
            self.cpu_seconds = time.clock_gettime(self._clock)
        except OSError:
            return False
        # The program's name, in brackets, may itself hold anything.
        words = text[text.rindex(b")") + 2 :].split(None, _THREADS + 1)
        self.threads = int(words[_THREADS])
        return words[0] not in {b"Z", b"X"}

    def read_open_files(self) -> None:
        """Count its descriptors; what one may not look at stays ``None``."""
        try:
            # Since Linux 6.2 the folder's size is the count; before, it is 0.
            size = os.stat(f"/proc/{self.pid}/fd").st_size  # noqa: PTH116 - cheaper
            self.open_files = size or self._process.num_fds()
        except (OSError, AttributeError, *GONE):
            return
        self.held.append(self.open_files)

    def read_memory(self) -> None:
        """Read its proportional set size: shared pages divided by those that share them.

        Where the system has no such figure (not Linux): the resident set size, which counts
        shared pages in full. Of another user's process it stays ``None``: beside the
        proportional size of one's own, a resident size would only look like a difference.
        """
        self.memory_read = time.monotonic()
        try:
            with open(f"/proc/{self.pid}/smaps_rollup", "rb") as rollup:  # noqa: PTH123
                for line in rollup:
                    if line.startswith(b"Pss:"):
                        self.memory_bytes = int(line.split()[1]) * 1024
                        return
        except PermissionError:
            return
        except (OSError, ValueError):
            pass
        with suppress(*GONE):
            self.memory_bytes = self._process.memory_info().rss


def _cpu_clock(pid: int) -> int | None:
    """Return the clock of a process's CPU time, all its threads together; ``None``: not told."""
    clock = ctypes.c_int()
    get_clock = ctypes.CDLL(None).clock_getcpuclockid  # clock_getcpuclockid(3)
    return None if get_clock(pid, ctypes.byref(clock)) else clock.value


@dataclass
class Role:
    """The processes of one role, with the CPU time of those that have ended meanwhile."""

    roots: tuple[int, ...]
    alone: bool = False
    """Only the roots themselves: of the harness everything else is a child."""
    members: dict[int, Watched] = field(default_factory=dict)
    ended: list[Watched] = field(default_factory=list)

    def begin(self) -> None:
        """Count CPU time from here on."""
        self.read()
        for each in self.members.values():
            each.cpu_at_start = each.cpu_seconds

    def read(self) -> None:
        """Read CPU time and threads of all; one that has ended keeps its last CPU time."""
        for pid, each in list(self.members.items()):
            if not each.read():
                each.close()
                self.ended.append(self.members.pop(pid))

    def adopt(self, parents: Mapping[int, int]) -> None:
        """Take in what belongs to it of these new processes, given as process → its parent."""
        for pid in self.roots:
            if pid in parents:
                self._watch(pid)
        found = not self.alone
        while found:
            found = False
            for pid, parent in parents.items():
                if parent in self.members and pid not in self.members:
                    found |= self._watch(pid)

    def close(self) -> None:
        """Let go of all its processes; their figures stay."""
        for each in self.members.values():
            each.close()

    @property
    def all(self) -> list[Watched]:
        """Every process that it ever had."""
        return [*self.members.values(), *self.ended]

    @property
    def cpu_seconds(self) -> float:
        """CPU time of all of them since they began, or since ``begin``."""
        return sum(each.cpu_seconds - each.cpu_at_start for each in self.all)

    def _watch(self, pid: int) -> bool:
        with suppress(OSError, *GONE):
            watched = Watched(pid)
            if watched.read():
                self.members[pid] = watched
                return True
            watched.close()
        return False


class ProcessTable:
    """Which processes are new, and whose children they are.

    Only new ones are looked at: to ask each for its parent every time takes 5 ms for a hundred.
    """

    def __init__(self) -> None:
        self._known: set[int] = set()

    def new(self) -> dict[int, int]:
        """Return the processes that were not there the last time: process → its parent."""
        pids = set(psutil.pids())
        parents = {}
        for pid in pids - self._known:
            with suppress(*GONE):
                parents[pid] = psutil.Process(pid).ppid()
        self._known = pids
        return parents


def roles_of(roots: Mapping[str, Iterable[int]]) -> dict[str, Role]:
    """Return these roles with all their processes of this moment."""
    roles = {name: Role(tuple(pids)) for name, pids in roots.items()}
    parents = ProcessTable().new()
    for role in roles.values():
        role.adopt(parents)
    return roles
