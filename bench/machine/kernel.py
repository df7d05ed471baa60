"""The kernel's settings and limits that a load meets."""

import os
import resource
import sys
from collections.abc import Mapping

from bench.machine.system import HERE, System

SYSCTLS = (
    "fs.file-max",
    "fs.nr_open",
    "kernel.pid_max",
    "kernel.sched_autogroup_enabled",
    "kernel.threads-max",
    "net.core.netdev_max_backlog",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_tw_reuse",
    "net.netfilter.nf_conntrack_max",
    "vm.overcommit_memory",
    "vm.swappiness",
)
"""What bounds or delays a connection, a process or a page; ``somaxconn`` has a field of its own.

The kernel's Documentation/networking/ip-sysctl.rst and admin-guide/sysctl/.
"""

STEAL = 8
"""Column of ``/proc/stat``, the label counted: time that the hypervisor gave to others."""


def somaxconn(system: System = HERE) -> int | None:
    """Return the kernel's bound on listen queues; ``None`` where it does not tell."""
    return system.number("proc/sys/net/core/somaxconn")


def sysctls(system: System) -> Mapping[str, str]:
    """Return these settings by name, of those that the kernel has."""
    found = {name: system.text(f"proc/sys/{name.replace('.', '/')}") for name in SYSCTLS}
    return {name: " ".join(value.split()) for name, value in found.items() if value}


def open_files() -> tuple[int, int]:
    """Return the soft and the hard limit of file descriptors; ``sys.maxsize``: none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _bound(soft), _bound(hard)


def steal_seconds(system: System) -> float | None:
    """Return the seconds since boot, over all cores, that the hypervisor gave to others.

    0 in a virtual machine can also mean that its hypervisor does not tell.
    """
    columns = (system.text("proc/stat") or "").partition("\n")[0].split()
    if len(columns) <= STEAL:
        return None
    return int(columns[STEAL]) / os.sysconf("SC_CLK_TCK")


def load_average() -> tuple[float, float, float] | None:
    """Return how many processes wanted to run, over 1, 5 and 15 minutes."""
    try:
        return os.getloadavg()
    except OSError:
        return None


def _bound(limit: int) -> int:
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit
