"""The processor, and whether it is a machine of its own."""

import os
import platform
import subprocess

from bench.machine.system import System

CLOCKS = {"kvm-clock": "kvm", "hyperv_clocksource": "hyperv", "xen": "xen"}
"""Clock source → the hypervisor that offers it: all that some small virtual machines tell."""
VENDORS = {
    "qemu": "kvm", "kvm": "kvm", "amazon ec2": "kvm", "google": "kvm", "openstack": "kvm",
    "vmware": "vmware", "virtualbox": "virtualbox", "innotek": "virtualbox", "xen": "xen",
    "virtual machine": "hyperv", "parallels": "parallels", "apple virtualization": "apple",
}  # fmt: skip
"""Part of the firmware's vendor or product name → hypervisor, as systemd-detect-virt has them."""
MARKERS = {
    ".dockerenv": "docker",
    "run/.containerenv": "podman",
    "var/run/secrets/kubernetes.io": "kubernetes",
}
"""File that a container engine leaves → its name."""
ENGINES = ("kubepods", "docker", "libpod", "lxc", "containerd")
"""What the first process's control group is called in a container, the most telling first."""


def cpu_model(system: System) -> str:
    """Return the processor's name; on ARM, which has none, its maker's and its part's numbers."""
    told: dict[str, str] = {}
    for line in (system.text("proc/cpuinfo") or "").splitlines():
        label, _, value = line.partition(":")
        told.setdefault(label.strip(), value.strip())
    if name := told.get("model name") or told.get("Model"):
        return name
    if part := told.get("CPU part"):
        return f"{platform.machine()} {told.get('CPU implementer', '?')}/{part}"
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
        if shown.stdout.strip():
            return shown.stdout.strip()
    return platform.processor() or platform.machine()


def affinity() -> int | None:
    """Return how many cores this process may run on; ``None`` where the system does not tell."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return None


def governor(system: System) -> str | None:
    """Return what sets the cores' frequency; several names if the cores differ."""
    names = set(system.texts("sys/devices/system/cpu/cpufreq", "policy*/scaling_governor"))
    return ", ".join(sorted(names)) or None


def turbo(system: System) -> bool | None:
    """Return whether cores may exceed their nominal frequency; ``None``: not told."""
    off = system.number("sys/devices/system/cpu/intel_pstate/no_turbo")
    if off is not None:
        return not off
    boost = system.number("sys/devices/system/cpu/cpufreq/boost")
    return None if boost is None else bool(boost)


def hypervisor(system: System) -> str | None:
    """Return what the machine runs in: ``kvm`` …, ``unknown`` for one that does not say which.

    ``none``: a machine of its own; ``None``: not told (not Linux).
    """
    cpuinfo = system.text("proc/cpuinfo")
    if cpuinfo is None:
        return None
    firmware = ("sys_vendor", "product_name", "board_vendor")
    dmi = " ".join(system.text(f"sys/class/dmi/id/{name}") or "" for name in firmware).lower()
    if kind := system.text("sys/hypervisor/type"):
        return kind
    if kind := next((kind for part, kind in VENDORS.items() if part in dmi), None):
        return kind
    clocks = "sys/devices/system/clocksource/clocksource0/available_clocksource"
    offered = (system.text(clocks) or "").split()
    for clock, kind in CLOCKS.items():
        if any(name.startswith(clock) for name in offered):
            return kind
    flags = next((line for line in cpuinfo.splitlines() if line.startswith("flags")), "")
    hidden = "hypervisor" in flags.split() or system.has("proc/device-tree/hypervisor")
    return "unknown" if hidden else "none"


def container(system: System) -> str | None:
    """Return the engine of the container this runs in, ``none``, or ``None``: not told."""
    kernel = system.text("proc/sys/kernel/osrelease")
    if kernel is None:
        return None
    if "microsoft" in kernel.lower():
        return "wsl"
    if named := system.text("run/systemd/container"):
        return named
    for marker, engine in MARKERS.items():
        if system.has(marker):
            return engine
    group = system.text("proc/1/cgroup") or ""
    return next((engine for engine in ENGINES if engine in group), "none")
