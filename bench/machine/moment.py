"""What the machine is busy with just now: a look at its processes, its memory and this one.

The columns are those of proc(5): ``/proc/stat``, ``/proc/<pid>/stat``, ``/proc/vmstat``.
"""

import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import cgroup
from bench.machine.system import HERE, System

WATCHED = 0.15
"""Seconds: 15 ticks of the kernel's clock, so that a tick is 7% of one core."""

WORK = ("user", "nice", "system", "irq", "softirq")
COLUMNS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")

SLOWING_VARIABLES = (
    "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "LD_PRELOAD", "PYTHONASYNCIODEBUG",
    "PYTHONDEVMODE", "PYTHONMALLOC", "PYTHONPROFILEIMPORTTIME", "PYTHONTRACEMALLOC",
    "PYTHON_GIL", "PYTHON_JIT", "PYTHON_PERF_JIT_SUPPORT", "PYTHONPERFSUPPORT",
)  # fmt: skip
"""Servers inherit these, and with them another speed than the one that is copied."""
DEBUGGERS = ("pydevd", "debugpy", "viztracer", "yappi", "memray", "scalene")
"""Modules that watch a program from within as soon as they are loaded."""


@dataclass(frozen=True)
class Moment:
    """How things stand. ``None``: this system does not tell."""

    busy_cores: float | None = None
    """Cores kept busy by other programs."""
    busiest: str | None = None
    """The program that keeps most of them busy, with its process id and its part of a core."""
    stolen: float | None = None
    """The part of all cores' time that the hypervisor gave to others."""
    free_memory_bytes: int | None = None
    """What can be had without swapping, within the limit of the control group."""
    swap_used_bytes: int | None = None
    swapping: bool = False
    """Pages went to swap or came back while this looked."""
    on_battery: bool | None = None
    watchers: tuple[str, ...] = ()
    """What slows this process or its children down: debuggers, coverage, settings for debugging."""
    tracks_connections: bool | None = None
    """The kernel follows each connection, because a firewall or a container engine wants it."""


@dataclass(frozen=True)
class _Look:
    at: float
    cores: Mapping[str, int]
    own: int
    processes: Mapping[int, tuple[str, int]] = field(repr=False)
    """Process id → name and ticks."""
    swapped: int


def read_moment(
    system: System = HERE,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Moment:
    """Look twice, `WATCHED` seconds apart, and say what went on in between."""
    first = _look(system, clock)
    if first is not None:
        sleep(WATCHED)
    second = _look(system, clock)
    memory = system.table("proc/meminfo")
    free = [
        amount
        for amount in (memory.get("MemAvailable", -1) * 1024, cgroup.memory_left(system))
        if amount is not None and amount >= 0
    ]
    busy, busiest, stolen, swapping = None, None, None, False
    if first is not None and second is not None:
        busy, busiest, stolen = _between(first, second)
        swapping = second.swapped > first.swapped
    return Moment(
        busy_cores=busy,
        busiest=busiest,
        stolen=stolen,
        free_memory_bytes=min(free, default=None),
        swap_used_bytes=_swap_used(memory),
        swapping=swapping,
        on_battery=on_battery(system),
        tracks_connections=tracks_connections(system),
        watchers=watchers(system, os.environ),
    )


def tracks_connections(system: System) -> bool | None:
    """Return whether the kernel follows a connection on loopback: by making one.

    Its table alone does not tell: entries outlive the rule that wanted them by days.
    """
    table = "proc/sys/net/netfilter/nf_conntrack_count"
    before = system.number(table)
    if before is None:
        return None
    with suppress(OSError), socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname(), timeout=1.0):
            after = system.number(table)
        return after is not None and after > before
    return None


def on_battery(system: System) -> bool | None:
    """Return whether a battery feeds the machine; ``None``: it has none, or does not tell."""
    supplies = list(system.texts("sys/class/power_supply", "BAT*/status"))
    if not supplies:
        return None
    return "Discharging" in supplies


def watchers(system: System, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return what watches this process, or would slow its children down."""
    found = [name for name in DEBUGGERS if name in sys.modules]
    if (tracing := sys.gettrace()) is not None:
        found.append(f"a trace function ({type(tracing).__module__})")
    if sys.getprofile() is not None:
        found.append("a profile function")
    monitoring = getattr(sys, "monitoring", None)  # from Python 3.12
    if monitoring is not None:
        tools = (monitoring.get_tool(number) for number in range(6))
        found += [f"the monitoring tool {tool}" for tool in tools if tool]
    found += [f"{name}={environment[name]}" for name in SLOWING_VARIABLES if environment.get(name)]
    if tracer := system.table("proc/self/status").get("TracerPid"):
        name = system.text(f"proc/{tracer}/comm") or "a program"
        found.append(f"{name} (process {tracer}), which traces this one")
    return tuple(found)


def _look(system: System, clock: Callable[[], float]) -> _Look | None:
    """Look at everything once: about 2 ms for 150 processes."""
    line = (system.text("proc/stat") or "").partition("\n")[0].split()
    if not line or line[0] != "cpu":
        return None
    swaps = system.table("proc/vmstat")
    processes, own = {}, 0
    for entry in (system.root / "proc").iterdir():
        if entry.name.isdecimal() and (seen := _process(entry)):
            name, used, with_children = seen
            if int(entry.name) == os.getpid():
                own = with_children
            else:
                processes[int(entry.name)] = (name, used)
    return _Look(
        at=clock(),
        cores=dict(zip(COLUMNS, map(int, line[1:]), strict=False)),
        own=own,
        processes=processes,
        swapped=swaps.get("pswpin", 0) + swaps.get("pswpout", 0),
    )


def _process(folder: Path) -> tuple[str, int, int] | None:
    """Return a process's name, its ticks, and those with the children that it waited for."""
    try:
        line = (folder / "stat").read_text("utf-8", "replace")
    except OSError:
        return None  # it has ended
    # The name may hold blanks and brackets itself: up to the last bracket.
    head, _, tail = line.rpartition(")")
    columns = tail.split()[11:15]  # utime, stime, cutime, cstime
    if not all(column.isdecimal() for column in columns) or not columns:
        return None
    ticks = [int(column) for column in columns]
    return head.partition("(")[2], sum(ticks[:2]), sum(ticks)


def _between(first: _Look, second: _Look) -> tuple[float, str | None, float | None]:
    """Return the cores that others kept busy, the busiest of them, and the part stolen."""
    hertz = os.sysconf("SC_CLK_TCK")
    seconds = max(second.at - first.at, 1 / hertz)
    grown = {name: max(0, second.cores[name] - ticks) for name, ticks in first.cores.items()}
    others = sum(grown.get(name, 0) for name in WORK) - (second.own - first.own)
    busy = max(0.0, others / hertz / seconds)
    # A process that was not there before started meanwhile: all its time counts.
    used = {
        pid: ticks - first.processes.get(pid, (name, 0))[1]
        for pid, (name, ticks) in second.processes.items()
    }
    most = max(used, key=used.__getitem__, default=None)
    busiest = None
    if most is not None and used[most] > 0:
        share = min(used[most] / hertz / seconds, busy)
        busiest = f"{second.processes[most][0]} (process {most}, {share:.0%} of a core)"
    total = sum(grown.values())
    return busy, busiest, grown["steal"] / total if total and "steal" in grown else None


def _swap_used(memory: Mapping[str, int]) -> int | None:
    if not {"SwapTotal", "SwapFree"} <= memory.keys():
        return None
    return (memory["SwapTotal"] - memory["SwapFree"]) * 1024
