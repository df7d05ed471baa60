"""The bounds that a container or a service unit sets: control groups, version 1 and 2.

The kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/{memory,cpusets}.rst. A bound of
any ancestor holds too, so the folders are read from one's own group up to the root.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from bench.machine.system import System

UNLIMITED = 2**60
"""Bytes; version 1 writes "no limit" as the greatest multiple of a page below 2**63."""


def quota(system: System) -> float | None:
    """Return how many cores' worth of time this group gets; ``None``: no quota."""
    found = [cores for folder in _folders(system, "cpu") if (cores := _quota(system, folder))]
    return min(found, default=None)


def memory_limit(system: System) -> int | None:
    """Return the bytes that this group may use; ``None``: no limit of its own."""
    limits = [limit for folder in _folders(system, "memory") if (limit := _limit(system, folder))]
    return min(limits, default=None)


def memory_left(system: System) -> int | None:
    """Return the bytes that this group may still use, caches counted as free; ``None``: no limit.

    Caches that nobody uses (``inactive_file``) are given back before anything is killed.
    """
    left = []
    for folder in _folders(system, "memory"):
        limit = _limit(system, folder)
        used = system.number(f"{folder}/memory.current")
        if used is None:
            used = system.number(f"{folder}/memory.usage_in_bytes")
        if limit is not None and used is not None:
            told = system.table(f"{folder}/memory.stat")
            cache = told.get("total_inactive_file", told.get("inactive_file", 0))
            left.append(max(0, limit - max(0, used - cache)))
    return min(left, default=None)


def oom_kills(system: System, pid: int) -> int | None:
    """Return how often the kernel killed in the group of a process for its limit's sake.

    ``None``: it does not tell, or there is no such process.
    """
    for folder in _folders(system, "memory", str(pid)):
        for file in ("memory.events", "memory.oom_control"):  # versions 2 and 1
            if (count := system.table(f"{folder}/{file}").get("oom_kill")) is not None:
                return count
    return None


def _folders(system: System, controller: str, who: str = "self") -> Iterator[str]:
    """Yield the folders of the groups that a process is in, from its own up to the root."""
    for line in (system.text(f"proc/{who}/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2, beside version 1 in a folder of its own
            mounts = ["sys/fs/cgroup", "sys/fs/cgroup/unified"]
        elif controller in controllers.split(","):
            mounts = list(dict.fromkeys(f"sys/fs/cgroup/{n}" for n in (controllers, controller)))
        else:
            continue
        # In a container the path may be the host's, which is not there: the root then is its own.
        group = PurePosixPath("/", path)
        for mount in mounts:
            yield from (f"{mount}{each}".rstrip("/") for each in (group, *group.parents))


def _quota(system: System, folder: str) -> float | None:
    allowed, _, period = (system.text(f"{folder}/cpu.max") or "").partition(" ")
    if allowed.isdecimal() and period.isdecimal() and int(period):
        return int(allowed) / int(period)
    microseconds = system.number(f"{folder}/cpu.cfs_quota_us")
    per = system.number(f"{folder}/cpu.cfs_period_us")
    return microseconds / per if microseconds and microseconds > 0 and per else None


def _limit(system: System, folder: str) -> int | None:
    limit = system.number(f"{folder}/memory.max")
    if limit is None:
        limit = system.number(f"{folder}/memory.limit_in_bytes")
    return limit if limit is not None and limit < UNLIMITED else None
