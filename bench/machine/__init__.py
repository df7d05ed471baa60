"""The fingerprint of the machine that a run is made on.

Which fields make two machines unlike, and which are only told, is said at the fields themselves
(`bench.model.Machine`).
"""

import platform
from collections.abc import Mapping
from pathlib import Path

import psutil

from bench.machine import cgroup, hardware, kernel, versions
from bench.machine.kernel import somaxconn
from bench.machine.system import HERE, System
from bench.machine.versions import package_versions
from bench.model import Machine

__all__ = ["fingerprint", "package_versions", "somaxconn"]

PACKAGED = ("ab", "nginx")
"""Programs whose own version says less than that of the package they came in."""


def fingerprint(root: Path, programs: Mapping[str, str], system: System = HERE) -> Machine:
    """Describe this machine.

    Args:
        root: the checkout, for its git revision.
        programs: versions of the programs that take part beside the packages.
        system: the kernel's files.

    """
    cores = psutil.cpu_count() or 1
    memory = psutil.virtual_memory().total
    soft, hard = kernel.open_files()
    bound_to, quota = hardware.affinity(), cgroup.quota(system)
    limit = cgroup.memory_limit(system)
    return Machine(
        cpu=hardware.cpu_model(system),
        cores=cores,
        memory_bytes=memory,
        system=_system_name(),
        kernel=platform.release(),
        python=platform.python_version(),
        somaxconn=somaxconn(system),
        open_files=soft,
        versions=package_versions() | _with_packages(programs),
        git_revision=versions.git_revision(root),
        physical_cores=psutil.cpu_count(logical=False),
        affinity_cores=bound_to,
        quota_cores=quota,
        usable_cores=float(min(cores, bound_to or cores, quota or cores)),
        governor=hardware.governor(system),
        turbo=hardware.turbo(system),
        memory_limit_bytes=limit,
        usable_memory_bytes=min(memory, limit or memory),
        sysctls=kernel.sysctls(system),
        open_files_hard=hard,
        container=hardware.container(system),
        hypervisor=hardware.hypervisor(system),
        steal_seconds=kernel.steal_seconds(system),
        load_average=kernel.load_average(),
        python_build=versions.python_build(),
    )


def _with_packages(programs: Mapping[str, str]) -> dict[str, str]:
    """Add to programs the package they came in, and the Postgres that the harness brings."""
    told = dict(programs)
    for name in PACKAGED:
        if name in told and (package := versions.package_of(name)):
            told[f"{name} package"] = package
    if postgres := versions.postgres_version():
        told["postgres"] = postgres
    return told


def _system_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform(terse=True)
