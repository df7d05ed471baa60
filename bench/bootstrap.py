"""Make this checkout ready to measure: virtual environment, locked packages, ``ab``, nginx.

The Makefile runs it before every target, with whatever ``python3`` the machine has. So it needs
the standard library alone, imports nothing of the package around it, and stays readable to
Python 3.6, which has to get as far as being told that it is too old. When everything is there it
must say so within milliseconds: a stamp in the virtual environment, written last, holds what was
set up, and what is slow to import is imported where it is used.
"""
# ruff: noqa: PLC0415

import os
import sys
from pathlib import Path
from typing import NamedTuple

# From requires-python to the newest Python for which every locked package has a wheel.
OLDEST, NEWEST = (3, 11), (3, 14)
PYTHONS = tuple(f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1))

REQUIRED, OPTIONAL = "ab", "nginx"
VENV_MODULE = "Python's venv module"
# Debian keeps these off an ordinary user's PATH; so may macOS with brew's.
MORE_PATH = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/local/bin"]
MORE_PATH += ["/opt/homebrew/bin", "/opt/homebrew/sbin", "/home/linuxbrew/.linuxbrew/bin"]

# Package managers in order of preference: how each installs, and its names for the programs.
INSTALL = {
    "apt-get": ["apt-get", "install", "-y", "--no-install-recommends"],
    "dnf": ["dnf", "install", "-y"],
    "apk": ["apk", "add"],
    "brew": ["brew", "install"],
}
PACKAGES = {
    "apt-get": {"ab": "apache2-utils", "nginx": "nginx"},
    "dnf": {"ab": "httpd-tools", "nginx": "nginx"},
    "apk": {"ab": "apache2-utils", "nginx": "nginx"},
    "brew": {"ab": "httpd", "nginx": "nginx"},
}

# Debian starts and enables the services it installs; a benchmark must not take port 80 for that.
# policy-rc.d is Debian's way to forbid the start. This one forbids it only while this very shell
# lives, so that not even a kill -9 leaves a machine behind whose services do not start.
APT_SCRIPT = """
set -eu
export DEBIAN_FRONTEND=noninteractive
guard=/usr/sbin/policy-rc.d
if [ ! -e "$guard" ]; then
    trap 'rm -f "$guard"' EXIT
    trap 'exit 130' HUP INT TERM
    printf '#!/bin/sh\\n[ -d /proc/%s ] && exit 101\\nexit 0\\n' "$$" >"$guard"
    chmod 755 "$guard"
fi
install() { apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=120 "$@"; }
install "$@" || { apt-get update -q && install "$@"; }
case " $* " in *" nginx "*) update-rc.d nginx disable || : ;; esac
"""

# What pip's output shows → what to tell. The first that is found is told.
PIP_REMEDIES = [
    (
        ["NewConnectionError", "NameResolutionError", "Max retries", "ProxyError", "ReadTimeout"],
        "The package index cannot be reached. Check the network; behind a proxy, or with a mirror "
        "or certificates of your own, set HTTPS_PROXY, PIP_INDEX_URL or PIP_CERT.",
    ),
    (["No space left"], "The disk is full: the virtual environment takes about 700 MB."),
    (
        ["DO NOT MATCH THE HASHES"],
        "A download is not the locked file: does PIP_INDEX_URL name an index to be trusted?",
    ),
    (
        ["No matching distribution"],
        "The index has no such file for this machine. Python 3.11 to 3.14 on Linux (glibc) and "
        "macOS find all of them on pypi.org.",
    ),
]


class SetupError(Exception):
    """Set-up cannot go on; the text says why, and the line that mends it."""


class Interrupted(BaseException):
    """A signal asks to stop. No stamp is written, so that the next call starts afresh."""


class Wanted(NamedTuple):
    """What this call needs beside the harness itself."""

    dev: bool = False  # the tools of `make test` and `make lint`
    programs: bool = True  # ab and nginx; listings and reports do without


class Stamp(NamedTuple):
    """What a finished set-up was made of: all text, as in its file."""

    python: str = ""
    root: str = ""
    locks: str = ""
    dev: str = "no"
    programs: str = "no"


class Facts(NamedTuple):
    """What this machine and this user may install with."""

    managers: "tuple[str, ...]" = ()
    root: bool = False
    sudo: bool = False  # there is a sudo …
    passwordless: bool = False  # … and it asks for nothing


class InstallPlan(NamedTuple):
    """How to get system packages."""

    argv: "list[str]"  # empty: not allowed here
    line: str  # the same for a person to run; empty: no package manager is known


class Outcome(NamedTuple):
    """How a program ended: its exit code, and all that it printed."""

    code: int
    output: str = ""


# ---- decisions: nothing but arguments in and results out -------------------------------------


def suits(version: "tuple[int, ...]") -> bool:
    """Tell whether a Python of this version can run the harness."""
    return OLDEST <= version[:2] <= NEWEST


def parse_stamp(text: str) -> Stamp:
    """Read a stamp; what is missing in it counts as not set up."""
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return Stamp()._replace(**{key: fields[key] for key in Stamp._fields if key in fields})


def format_stamp(stamp: Stamp) -> str:
    """Write a stamp as ``parse_stamp`` reads it."""
    return "".join(f"{key}={value}\n" for key, value in stamp._asdict().items())


def venv_state(found: Stamp, now: Stamp) -> str:
    """Say what the virtual environment needs: "ready", "update" in place, or "rebuild"."""
    if found.python != now.python or found.root != now.root:
        return "rebuild"  # half made, made by another Python, or its folder was moved
    if found.locks != now.locks or (now.dev == "yes" and found.dev != "yes"):
        return "update"
    return "ready"


def uwsgi_choices(compiler: "str | None", *, headers: bool) -> "list[str]":
    """Name the packages that can provide uWSGI here, the better one first."""
    return ["uwsgi", "pyuwsgi"] if compiler and headers else ["pyuwsgi"]


def plan_install(facts: Facts, packages: "dict[str, list[str]]") -> InstallPlan:
    """Choose the package manager, and say whether it may be run without asking.

    ``packages`` has each manager's names for what is missing; one that is not in it cannot help.
    brew needs no rights, so it also serves where the system's manager would ask for a password.
    """
    able = [name for name in facts.managers if packages.get(name)]
    free = [name for name in able if name == "brew" or facts.root or facts.passwordless]
    if not able:
        return InstallPlan([], "")
    manager = (free or able)[0]
    sudo = manager != "brew" and not facts.root
    argv = INSTALL[manager] + packages[manager]
    steps = [["apt-get", "update"], argv] if manager == "apt-get" else [argv]
    prefix = "sudo " if sudo and facts.sudo else ""
    line = " && ".join(prefix + " ".join(step) for step in steps)
    if sudo and not facts.sudo:
        line += "    (as root)"
    if not free:
        return InstallPlan([], line)
    if manager == "apt-get":
        argv = ["sh", "-c", APT_SCRIPT, "sh", *packages[manager]]
    return InstallPlan((["sudo", "-n"] if sudo else []) + argv, line)


def explain_pip(output: str) -> str:
    """Say in a sentence or two why pip failed and what to do, where its output shows it."""
    for signs, remedy in PIP_REMEDIES:
        if any(sign in output for sign in signs):
            return remedy
    return "Mend what pip's lines name, then run the same command again."


def last_lines(output: str, count: int = 12) -> str:
    """Cut what a program printed down to its end, indented."""
    lines = [line for line in output.splitlines() if line.strip() and "Retrying (" not in line]
    return "\n".join("    " + line[:300] for line in lines[-count:])


# ---- the machine: everything that looks or reaches outside -----------------------------------


class Machine:
    """Programs, the interpreter, and the person who reads along."""

    def __init__(self) -> None:
        """Start without the lock on the checkout."""
        self.lock = -1

    def which(self, name: str) -> "str | None":
        """Find a program on PATH, or where systems keep it off PATH."""
        for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) + MORE_PATH:
            path = Path(folder, name)
            if folder and os.access(str(path), os.X_OK) and path.is_file():
                return str(path)
        return None

    def has_ensurepip(self) -> bool:
        """Tell whether this Python can make a virtual environment: Debian ships that apart."""
        import importlib.util

        importlib.invalidate_caches()
        return importlib.util.find_spec("ensurepip") is not None

    def has_headers(self) -> bool:
        """Tell whether C code can be compiled against this Python."""
        import sysconfig

        return Path(sysconfig.get_paths()["include"], "Python.h").is_file()

    def facts(self) -> Facts:
        """Find out which package managers there are, and what they may do."""
        managers = tuple(name for name in INSTALL if self.which(name))
        root = os.geteuid() == 0
        sudo = bool(self.which("sudo"))
        passwordless = sudo and not root and self.run(["sudo", "-n", "true"]).code == 0
        return Facts(managers, root, sudo, passwordless)

    def say(self, text: str) -> None:
        """Tell the person; standard output belongs to the command that follows."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def run(self, argv: "list[str]", **environment: str) -> Outcome:
        """Run a program to its end and keep what it prints.

        It inherits the lock on the checkout: should this process be killed, nobody else sets up
        the same folder before the orphan has ended.
        """
        import contextlib
        import subprocess

        try:
            process = subprocess.Popen(
                argv,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(self.lock,) if self.lock >= 0 else (),
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            return Outcome(127, str(error))
        with process:
            try:
                output, _ = process.communicate()
            except BaseException:
                with contextlib.suppress(OSError):  # a child of sudo is not ours to end
                    process.terminate()
                raise  # leaving `with` waits for it
        return Outcome(process.returncode, output)


class Setup:
    """The steps from a bare checkout to one that can measure, on one machine."""

    def __init__(self, machine: Machine, root: Path) -> None:
        """Look at the checkout in ``root``; nothing is changed before ``run``."""
        self.machine = machine
        self.root = root
        self.venv = root / ".venv"
        self.python = str(self.venv / "bin" / "python")
        self.stamp_file = self.venv / "set-up.stamp"

    def is_ready(self, wanted: Wanted) -> bool:
        """Tell whether there is nothing to do. This is what every later call takes time for."""
        found = self.stamp()
        if venv_state(found, self.stamp_now(found, wanted)) != "ready":
            return False
        return not wanted.programs or bool(found.programs == "yes" and self.machine.which(REQUIRED))

    def run(self, wanted: Wanted) -> None:
        """Do what is missing. The stamp goes first and comes back last."""
        found = self.stamp()
        now = self.stamp_now(found, wanted)
        state = venv_state(found, now)
        self.ensure_system(programs=wanted.programs, venv=state == "rebuild")
        if state != "ready":
            self.remove_stamp()
            if state == "rebuild":
                self.make_venv()
            self.pip_locked("build", "build tools")
            if now.dev == "yes":
                self.pip_locked("dev", "Python packages, those for tests too")
            else:
                self.pip_locked("base", "Python packages")
            if found.locks != now.locks or state == "rebuild":
                self.install_uwsgi(fresh=state == "rebuild")
                self.install_harness()
        self.stamp_file.write_text(format_stamp(now), encoding="utf-8")
        self.machine.say("Set-up is complete.")

    # -- the stamp --

    def stamp(self) -> Stamp:
        """Read what an earlier call finished; an empty stamp if none did."""
        try:
            text = self.stamp_file.read_text(encoding="utf-8")
        except (OSError, ValueError):
            return Stamp()
        return parse_stamp(text) if os.access(self.python, os.X_OK) else Stamp()

    def stamp_now(self, found: Stamp, wanted: Wanted) -> Stamp:
        """Say what the stamp has to be after this call."""
        import hashlib

        digest = hashlib.sha256()
        for path in [
            *sorted((self.root / "requirements").glob("*.txt")),
            self.root / "pyproject.toml",
        ]:
            digest.update(path.read_bytes())
        running = "{}.{}".format(*sys.version_info[:2])
        inside = sys.executable == self.python
        return Stamp(
            # Another python3 first on PATH is no reason to rebuild; another one inside is.
            python=running if inside or not found.python else found.python,
            root=str(self.root),
            locks=digest.hexdigest(),
            dev="yes" if wanted.dev or found.dev == "yes" else "no",
            programs="yes" if wanted.programs else found.programs,
        )

    def remove_stamp(self) -> None:
        """Mark the virtual environment as half made."""
        if self.stamp_file.exists():
            self.stamp_file.unlink()

    # -- the steps --

    def ensure_system(self, *, programs: bool, venv: bool) -> None:
        """See to the system's part: Python's venv module, ab and, where possible, nginx.

        Raises ``SetupError`` with the exact line to run if something that is required is missing
        and may not or cannot be installed.
        """
        missing = self.missing(programs=programs, venv=venv)
        if not missing:
            return
        packages = {
            manager: [names[name] for name in missing if name in names]
            for manager, names in PACKAGES.items()
            if VENV_MODULE not in missing or manager == "apt-get"
        }
        if VENV_MODULE in missing:
            packages["apt-get"].append("python{}.{}-venv".format(*sys.version_info[:2]))
        plan = plan_install(self.machine.facts(), packages)
        failure = ""
        if plan.argv:
            self.machine.say(f"Setting up (once): system packages for {', '.join(missing)} …")
            outcome = self.machine.run(plan.argv)
            if outcome.code != 0:
                failure = "\nInstalling failed:\n" + last_lines(outcome.output)
            missing = self.missing(programs=programs, venv=venv)
        remedy = f"\n    {plan.line}" if plan.line else " with this system's own tools."
        if not [name for name in missing if name != OPTIONAL]:
            if missing:
                self.machine.say(
                    f"nginx is missing, so nginx deployments will be skipped.{failure}\n"
                    f"To measure them too, install it:{remedy}"
                )
            return
        raise SetupError(
            f"Missing: {', '.join(missing)}.{failure}\n"
            f"Install this, then run the same command again:{remedy}"
        )

    def missing(self, *, programs: bool, venv: bool) -> "list[str]":
        """Name what the system lacks."""
        names = [VENV_MODULE] if venv and not self.machine.has_ensurepip() else []
        if programs:
            names += [name for name in (REQUIRED, OPTIONAL) if not self.machine.which(name)]
        return names

    def make_venv(self) -> None:
        """Make the virtual environment anew, by this Python or, from inside, by the one below."""
        import shutil

        inside = sys.executable == self.python
        python = os.path.realpath(sys.executable) if inside else sys.executable
        if self.venv.is_symlink():
            self.venv.unlink()
        elif self.venv.exists():
            self.machine.say("Removing .venv: half made, of another Python, or of another folder …")
            shutil.rmtree(str(self.venv))
        self.machine.say("Setting up (once): virtual environment …")
        outcome = self.machine.run([python, "-I", "-m", "venv", str(self.venv)])
        if outcome.code != 0:
            raise SetupError(f"It could not be made:\n{last_lines(outcome.output)}")

    def install_uwsgi(self, *, fresh: bool) -> None:
        """Compile uWSGI where that works, else take its maintainers' wheel.

        Which one it was, the installed distributions tell (``importlib.metadata``).
        """
        compiler = self.machine.which("cc") or self.machine.which("gcc")
        compiler = compiler or self.machine.which("clang")
        choices = uwsgi_choices(compiler, headers=self.machine.has_headers())
        if not fresh:  # both provide the same program: never one over the other
            self.must(self.pip("uninstall", "-y", "uwsgi", "pyuwsgi"))
        if choices[0] == "uwsgi":
            self.say_step("uWSGI, from source")
            # Not from pip's cache: that has it by Python's version, while the program is bound to
            # the very libpython it was built with, which another Python of that version lacks.
            outcome = self.pip_lock("uwsgi", CC=str(compiler), PIP_NO_CACHE_DIR="1")
            if outcome.code == 0 and self.uwsgi_has_gevent():
                return
            self.machine.say("uWSGI does not compile here; its prebuilt wheel is used instead.")
            self.must(self.pip("uninstall", "-y", "uwsgi"))
        self.pip_locked("pyuwsgi", "uWSGI, prebuilt (pyuwsgi)")

    def install_harness(self) -> None:
        """Install this very folder, so that `flask-bench` runs what is in it."""
        self.say_step("the harness")
        self.must(self.pip("install", "--no-deps", "--no-build-isolation", "-e", str(self.root)))

    def uwsgi_has_gevent(self) -> bool:
        """Tell whether the uWSGI that was just built starts, and can do what it is here for."""
        outcome = self.machine.run([str(self.venv / "bin" / "uwsgi"), "--help"])
        return outcome.code == 0 and "--gevent" in outcome.output

    def say_step(self, what: str) -> None:
        """Announce a step of the virtual environment."""
        self.machine.say(f"Setting up (once): {what} …")

    def pip_locked(self, name: str, what: str) -> None:
        """Install all of one lock, or explain why not."""
        self.say_step(what)
        self.must(self.pip_lock(name))

    def pip_lock(self, name: str, **environment: str) -> Outcome:
        """Install exactly the files of one lock.

        What is published as source only is built with the locked build tools: in isolation, pip
        would fetch others.
        """
        path = str(self.root / "requirements" / f"{name}.txt")
        options = ["--use-pep517", "--no-build-isolation", "--require-hashes", "-r", path]
        return self.pip("install", *options, **environment)

    def pip(self, command: str, *arguments: str, **environment: str) -> Outcome:
        """Run the virtual environment's own pip."""
        return self.machine.run(
            [self.python, "-I", "-m", "pip", command, *arguments],
            # a user's pip settings hold (index, proxy, CA), but not a place to install to
            PIP_USER="0",
            PIP_NO_INPUT="1",
            PIP_DISABLE_PIP_VERSION_CHECK="1",
            **environment,
        )

    def must(self, outcome: Outcome) -> None:
        """Pass a success on; explain a failure of pip."""
        if outcome.code != 0:
            raise SetupError(
                f"pip failed:\n{last_lines(outcome.output)}\n{explain_pip(outcome.output)}"
            )


# ---- the edge: arguments, the right Python, the lock, the exit code --------------------------

USAGE = """Usage: python3 bench/bootstrap.py [--dev] [--python-only]

Make the virtual environment .venv from the locked requirements, and see to ab and nginx.

  --dev          the tools of `make test` and `make lint` too
  --python-only  leave ab and nginx alone: listing and reporting do without them
"""


def hand_over(arguments: "list[str]") -> int:
    """Go on with a Python that suits; returns, with an exit code, only if there is none.

    Old Pythons run this function: it must not use what they lack.
    """
    import subprocess

    for name in PYTHONS:
        command = [name, "-IS", os.path.abspath(__file__), *arguments]  # noqa: PTH100
        try:
            # A version manager's shim is there and yet may not work: try it first.
            if subprocess.call([name, "-c", ""], stderr=subprocess.DEVNULL) == 0:
                os.execvp(name, command)  # noqa: S606
        except OSError:
            continue
    found = ".".join(str(part) for part in sys.version_info[:3])
    what = "Python 3.11 or newer is needed"
    if sys.version_info[:2] > NEWEST:
        what = "Python 3.11 to 3.14 is needed (newer ones lack some of the locked packages)"
    sys.stderr.write(
        f"{what}; found {found} ({sys.executable}), and none of {', '.join(PYTHONS)} on PATH.\n"
        "To get one:  apt-get install python3.11   |  dnf install python3.12  |"
        "  apk add python3  |  brew install python@3.13  |  uv python install 3.13\n"
    )
    return 2


def lock_checkout(machine: Machine, root: Path) -> None:
    """Wait until no other set-up works in this checkout, then keep others out."""
    import fcntl

    machine.lock = os.open(str(root / "requirements" / "base.txt"), os.O_RDONLY)
    try:
        fcntl.flock(machine.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        machine.say("Another set-up is at work in this folder; waiting for it …")
        fcntl.flock(machine.lock, fcntl.LOCK_EX)
    except OSError:
        machine.lock = -1  # a network file system without locks: do without, as make itself does


def interrupt(number: int, _frame: object) -> None:
    """Turn a signal into an exception, so that children are ended and the lock is let go."""
    raise Interrupted(number)


def set_up(setup: Setup, wanted: Wanted) -> int:
    """Set up what is missing, alone in this checkout; returns the exit code."""
    import signal

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    code = 2
    try:
        lock_checkout(setup.machine, setup.root)
        if not setup.is_ready(wanted):  # or else the one that was waited for has done it
            setup.run(wanted)
        code = 0
    except SetupError as error:
        setup.machine.say(str(error))
    except OSError as error:
        setup.machine.say(f"{error}\nIs this folder writable, and is there space on the disk?")
    except Interrupted as signalled:
        setup.machine.say("Set-up was interrupted; the next call does it afresh.")
        code = 128 + int(signalled.args[0])
    return code


def main(arguments: "list[str]") -> int:
    """Set up what is missing; returns 0 when ready, 2 when something is wrong or lacking."""
    if set(arguments) - {"--dev", "--python-only"}:
        asked = bool({"--help", "-h"} & set(arguments))
        (sys.stdout if asked else sys.stderr).write(USAGE)
        return 0 if asked else 2
    if not suits(sys.version_info[:2]):
        return hand_over(arguments)
    wanted = Wanted(dev="--dev" in arguments, programs="--python-only" not in arguments)
    setup = Setup(Machine(), Path(__file__).resolve().parent.parent)
    return 0 if setup.is_ready(wanted) else set_up(setup, wanted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
