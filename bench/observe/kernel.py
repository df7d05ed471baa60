"""Counters of the kernel that tell what happened between two looks at them.

Each is absent where this system does not have it. Times are seconds, summed over all cores.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
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


def counters(*, proc: Path = PROC, cgroups: Path = CGROUPS) -> dict[str, float]:
    """Read every counter once; takes about a millisecond."""
    found: dict[str, float] = {}
    for source in (_network, _sockets, _cpu, _pressure, _oom_kills):
        with suppress(OSError, ValueError, IndexError):
            found.update(source(proc))
    with suppress(OSError, ValueError, IndexError):
        for name, value in _limits(proc, cgroups):
            # Each level has limits of its own: what was held up by any of them counts.
            found[name] = found.get(name, 0.0) + value
    return found


def growth(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return how much each counter grew that both have."""
    return {name: after[name] - before[name] for name in before if name in after}


def _network(proc: Path) -> Iterator[tuple[str, float]]:
    for file in ("netstat", "snmp"):
        lines = (proc / "net" / file).read_text().splitlines()
        # Two lines per table: the names, then the values.
        for names, values in zip(lines[::2], lines[1::2], strict=False):
            table = names.partition(":")[0]
            row = dict(zip(names.split()[1:], values.split()[1:], strict=True))
            yield from ((n, float(row[n])) for n in NETWORK.get(table, ()) if n in row)


def _sockets(proc: Path) -> Iterator[tuple[str, float]]:
    for line in (proc / "net" / "sockstat").read_text().splitlines():
        words = line.split()
        if words[:1] == ["TCP:"] and "tw" in words:
            yield "time_wait", float(words[words.index("tw") + 1])


def _cpu(proc: Path) -> Iterator[tuple[str, float]]:
    for line in (proc / "stat").read_text().splitlines():
        name, *values = line.split()
        if name == "cpu":
            for column, ticks in zip(CPU, values, strict=False):
                yield f"cpu_{column}_seconds", int(ticks) / TICKS
        elif name == "ctxt":
            yield "context_switches", float(values[0])


def _pressure(proc: Path) -> Iterator[tuple[str, float]]:
    for what in ("cpu", "memory", "io"):
        # some avg10=0.00 avg60=0.00 avg300=0.00 total=88336644 (microseconds)
        with suppress(OSError):
            some = (proc / "pressure" / what).read_text().splitlines()[0]
            yield f"pressure_{what}_seconds", int(some.rpartition("=")[2]) / 1e6


def _oom_kills(proc: Path) -> Iterator[tuple[str, float]]:
    for line in (proc / "vmstat").read_text().splitlines():
        if line.startswith("oom_kill "):
            yield "oom_kills", float(line.split()[1])


def _limits(proc: Path, cgroups: Path) -> Iterator[tuple[str, float]]:
    """Read what the limits of this process's control groups did, up to the root; v1 and v2."""
    for line in (proc / "self" / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        place = Path(path.lstrip("/"))
        for level in (place, *place.parents):
            for controller in controllers.split(","):
                folder = cgroups / controller / level
                for name, value in _flat(folder / "cpu.stat").items():
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
