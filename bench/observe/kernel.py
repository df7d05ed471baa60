"""Counters of the kernel that tell what happened between two looks at them.

Each is absent where this system does not have it. Times are seconds, summed over all cores.

A container has a network of its own, which counts for itself, and control groups of its own: so
both are read where the watched processes are, each once, and added to those of the harness.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
TICKS = os.sysconf("SC_CLK_TCK")

NETWORK = {
    "TcpExt": (
        "ListenOverflows",  # a finished handshake met a full accept queue
        "ListenDrops",  # every SYN or handshake that a listening socket refused, the above included
        "TCPReqQFullDrop",  # SYNs refused because too many handshakes were under way
        "TCPSynRetrans",  # SYNs sent again: somebody waited a second or more to connect
        "TCPTimeWaitOverflow",  # more sockets in TIME_WAIT than the kernel keeps
    ),
    "Tcp": ("RetransSegs",),
}
"""Tables of /proc/net/netstat and /proc/net/snmp → the counters that are taken from them."""

CPU = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
"""Columns of the first line of /proc/stat (proc(5))."""


@dataclass(frozen=True)
class Places:
    """Where the counters are read: each network namespace and each control group once."""

    proc: Path
    networks: tuple[Path, ...]
    """Folders like ``/proc/net``."""
    groups: tuple[tuple[str, Path], ...]
    """Controller (empty in version 2) and folder."""


def places(pids: Iterable[int] = (), *, proc: Path = PROC, cgroups: Path = CGROUPS) -> Places:
    """Find where the harness and these processes are; one that is gone has no place."""
    pids = tuple(pids)
    networks = {network_of("self", proc): proc / "net"}
    for pid in pids:
        if identity := network_of(pid, proc):
            networks.setdefault(identity, proc / str(pid) / "net")
    groups: dict[tuple[str, Path], None] = {}
    for who in ("self", *pids):
        with suppress(OSError, ValueError):
            groups |= dict.fromkeys(_groups(proc / str(who) / "cgroup", cgroups))
    return Places(proc, tuple(networks.values()), tuple(groups))


def network_of(who: int | str, proc: Path = PROC) -> int | None:
    """Return what tells the network namespace of a process from others; ``None``: not told.

    The inode of one of its files: unlike ``ns/net`` everybody may see it, of any user's process.
    """
    try:
        return (proc / str(who) / "net" / "netstat").stat().st_ino
    except OSError:
        return None


def counters(where: Places | None = None) -> dict[str, float]:
    """Read every counter once; takes about a millisecond."""
    where = where or places()
    found: dict[str, float] = {}
    for source in (_networks, _cpu, _pressure, _oom_kills):
        with suppress(OSError, ValueError, IndexError):
            found.update(source(where))
    with suppress(OSError, ValueError, IndexError):
        for name, value in _limits(where):
            # Each level has limits of its own: what was held up by any of them counts.
            found[name] = found.get(name, 0.0) + value
    return found


def growth(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return how much each counter grew that both have."""
    return {name: after[name] - before[name] for name in before if name in after}


def _networks(where: Places) -> dict[str, float]:
    """Sum the counters of all networks; what one of them does not tell (any more) is absent."""
    told = [_network(folder) for folder in where.networks]
    return {name: sum(each[name] for each in told) for name in set.intersection(*map(set, told))}


def _network(folder: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for file in ("netstat", "snmp"):
        with suppress(OSError, ValueError):
            found.update(_tables(folder / file))
    with suppress(OSError, ValueError, IndexError):
        found.update(_sockets(folder / "sockstat"))
    with suppress(OSError, ValueError, IndexError):
        found["untracked_drops"] = _untracked(folder / "stat" / "nf_conntrack")
    return found


def _tables(file: Path) -> list[tuple[str, float]]:
    found = []
    lines = file.read_text().splitlines()
    # Two lines per table: the names, then the values.
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        table = names.partition(":")[0]
        row = dict(zip(names.split()[1:], values.split()[1:], strict=True))
        found += [(n, float(row[n])) for n in NETWORK.get(table, ()) if n in row]
    return found


def _sockets(file: Path) -> Iterator[tuple[str, float]]:
    for line in file.read_text().splitlines():
        words = line.split()
        if words[:1] == ["TCP:"] and "tw" in words:
            yield "time_wait", float(words[words.index("tw") + 1])


def _untracked(file: Path) -> float:
    """Return the packets dropped because the table of tracked connections was full.

    One line of hexadecimal numbers per core, below their names.
    """
    names, *cores = (line.split() for line in file.read_text().splitlines())
    return float(sum(int(core[names.index("drop")], 16) for core in cores))


def _cpu(where: Places) -> Iterator[tuple[str, float]]:
    for line in (where.proc / "stat").read_text().splitlines():
        name, *values = line.split()
        if name == "cpu":
            for column, ticks in zip(CPU, values, strict=False):
                yield f"cpu_{column}_seconds", int(ticks) / TICKS
        elif name == "ctxt":
            yield "context_switches", float(values[0])


def _pressure(where: Places) -> Iterator[tuple[str, float]]:
    for what in ("cpu", "memory", "io"):
        # some avg10=0.00 avg60=0.00 avg300=0.00 total=88336644 (microseconds)
        with suppress(OSError):
            some = (where.proc / "pressure" / what).read_text().splitlines()[0]
            yield f"pressure_{what}_seconds", int(some.rpartition("=")[2]) / 1e6


def _oom_kills(where: Places) -> Iterator[tuple[str, float]]:
    for line in (where.proc / "vmstat").read_text().splitlines():
        if line.startswith("oom_kill "):
            yield "oom_kills", float(line.split()[1])


def _groups(file: Path, cgroups: Path) -> Iterator[tuple[str, Path]]:
    """Yield the control groups of a process, each up to the root; v1 and v2."""
    for line in file.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        place = Path(path.lstrip("/"))
        for level in (place, *place.parents):
            for controller in controllers.split(","):
                yield controller, cgroups / controller / level


def _limits(where: Places) -> Iterator[tuple[str, float]]:
    """Read what the limits of the control groups did."""
    for controller, folder in where.groups:
        # Version 1 shows one group in two folders where cpu and cpuacct are mounted together.
        file = folder / "cpu.stat"
        for name, value in _flat(file).items() if controller in {"", "cpu"} else ():
            if name == "nr_throttled":
                yield "throttled_periods", value
            elif name == "throttled_usec":  # v2
                yield "throttled_seconds", value / 1e6
            elif name == "throttled_time":  # v1, nanoseconds
                yield "throttled_seconds", value / 1e9
        if "oom" in (events := _flat(folder / "memory.events")):
            yield "memory_limit_hits", events["oom"]
        if controller == "memory":
            with suppress(OSError, ValueError):
                yield "memory_limit_hits", float((folder / "memory.failcnt").read_text())


def _flat(file: Path) -> dict[str, float]:
    try:
        rows = (line.split() for line in file.read_text().splitlines())
        return {name: float(value) for name, value in rows}
    except (OSError, ValueError):
        return {}
