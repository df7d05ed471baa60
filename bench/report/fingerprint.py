"""The machine and the run as facts to read: what has to be alike for two runs to be compared."""

import sys

from bench.model import Machine, Run
from bench.report import figures

Fact = tuple[str, str]
"""What it is, and its value."""


def machine_facts(machine: Machine) -> tuple[Fact, ...]:
    """Return what is known of the machine; what it did not tell is left out."""
    facts = (
        ("CPU", f"{machine.cores} × {machine.cpu}"),
        ("Physical cores", _text(machine.physical_cores)),
        ("Usable cores", _cores(machine)),
        ("Governor", machine.governor),
        ("Turbo", None if machine.turbo is None else ("on" if machine.turbo else "off")),
        ("Memory", _memory(machine)),
        ("System", machine.system),
        ("Kernel", f"Linux {machine.kernel}"),
        ("Container", machine.container),
        ("Hypervisor", machine.hypervisor),
        ("Python", " ".join(filter(None, (machine.python, machine.python_build)))),
        ("File descriptors", _limits(machine)),
        ("Longest listen queue", _text(machine.somaxconn)),
        ("Load before the run", _load(machine)),
    )
    return tuple((name, value) for name, value in facts if value)


def run_facts(run: Run) -> tuple[Fact, ...]:
    """Return how the run was made."""
    return (
        ("App", run.app),
        ("Runner", run.runner),
        ("Load generator", run.generator),
        ("Seed", str(run.seed)),
        ("Started", run.started),
        ("Finished", f"{run.finished or figures.UNKNOWN} ({run.status})"),
        ("Git revision", run.machine.git_revision or figures.UNKNOWN),
    )


def _text(value: float | None) -> str | None:
    return None if value is None else f"{value:g}"


def _gibibytes(size: int) -> str:
    return f"{size / 1024**3:.1f} GiB"


def _memory(machine: Machine) -> str:
    limit = machine.memory_limit_bytes
    return _gibibytes(machine.memory_bytes) + (f", limited to {_gibibytes(limit)}" if limit else "")


def _cores(machine: Machine) -> str | None:
    bounds = ((machine.affinity_cores, "affinity"), (machine.quota_cores, "quota"))
    why = ", ".join(f"{name} {cores:g}" for cores, name in bounds if cores is not None)
    if machine.usable_cores is None:
        return None
    return f"{machine.usable_cores:g}" + (f" ({why})" if why else "")


def _limits(machine: Machine) -> str:
    def one(limit: int) -> str:
        return "no limit" if limit >= sys.maxsize else f"{limit:,}"

    hard = machine.open_files_hard
    return one(machine.open_files) + (f" (hard limit: {one(hard)})" if hard is not None else "")


def _load(machine: Machine) -> str | None:
    if machine.load_average is None:
        return None
    return " ".join(f"{load:.2f}" for load in machine.load_average)
