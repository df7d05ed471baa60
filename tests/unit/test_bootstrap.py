"""Set-up decides well: what to install, by whom, when to rebuild, what to say."""

import ast
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import bootstrap
from bench.bootstrap import (
    Facts,
    Machine,
    Outcome,
    Setup,
    SetupError,
    Stamp,
    Wanted,
    explain_pip,
    format_stamp,
    last_lines,
    parse_stamp,
    plan_install,
    suits,
    uwsgi_choices,
    venv_state,
)

SOURCE = Path(bootstrap.__file__)
CHECKOUT = SOURCE.parent.parent
RUNNING = f"{sys.version_info[0]}.{sys.version_info[1]}"
PACKAGES = {"apt-get": ["apache2-utils", "nginx"], "dnf": ["httpd-tools"], "brew": ["httpd"]}
NO_NETWORK = "Retrying (Retry(total=4)) after NewConnectionError\nERROR: No matching distribution"


class FakeMachine(Machine):
    """A machine of plain values: it records what is run, and installs when asked to."""

    def __init__(
        self,
        *programs: str,
        facts: Facts | None = None,
        ensurepip: bool = True,
        headers: bool = True,
    ) -> None:
        super().__init__()
        self.programs = set(programs)
        self.known = facts or Facts()
        self.ensurepip = ensurepip
        self.headers = headers
        self.said: list[str] = []
        self.ran: list[str] = []
        self.answers: dict[str, Outcome] = {"uwsgi --help": Outcome(0, "--gevent N")}
        self.on_run: Callable[[str], None] = self.install

    def which(self, name: str) -> str | None:
        return f"/bin/{name}" if name in self.programs else None

    def has_ensurepip(self) -> bool:
        return self.ensurepip

    def has_headers(self) -> bool:
        return self.headers

    def facts(self) -> Facts:
        return self.known

    def say(self, text: str) -> None:
        self.said.append(text)

    def run(self, argv: list[str], **environment: str) -> Outcome:
        del environment
        line = " ".join(argv)
        self.ran.append(line)
        self.on_run(line)
        found = (answer for sign, answer in self.answers.items() if sign in line)
        return next(found, Outcome(0))

    def install(self, line: str) -> None:
        """Do what the real commands would: packages bring programs, venv brings a Python."""
        if "apache2-utils" in line:
            self.programs.add("ab")
        if " nginx" in line:
            self.programs.add("nginx")
        if "-venv" in line:
            self.ensurepip = True
        if "-m venv" in line:
            python = Path(line.rsplit(maxsplit=1)[-1], "bin", "python")
            python.parent.mkdir(parents=True)
            python.symlink_to(sys.executable)

    def installed(self) -> list[str]:
        """Name the locks that pip installed, in order."""
        lines = [line for line in self.ran if "pip install" in line and " -r " in line]
        return [Path(line.split()[-1]).stem for line in lines]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "requirements").mkdir()
    for name in ("base", "build", "dev", "uwsgi", "pyuwsgi"):
        (tmp_path / "requirements" / f"{name}.txt").write_text(name)
    (tmp_path / "pyproject.toml").write_text("")
    return tmp_path


def fully_set_up(checkout: Path, machine: FakeMachine, wanted: Wanted | None = None) -> Setup:
    setup = Setup(machine, checkout)
    setup.run(wanted or Wanted())
    machine.ran.clear()
    return setup


# ---- the script itself ----


def test_old_pythons_can_read_it_and_it_needs_nothing_but_the_standard_library() -> None:
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"), feature_version=(3, 6))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or "bench"]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names


@pytest.mark.parametrize(
    ("version", "expected"),
    [((3, 10), False), ((3, 11), True), ((3, 14), True), ((3, 15), False), ((2, 7), False)],
)
def test_which_pythons_suit(version: tuple[int, int], expected: bool) -> None:
    assert suits(version) is expected


def test_without_a_python_that_suits_it_says_what_was_found_and_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 18, "final", 0))
    monkeypatch.setenv("PATH", "/nowhere")
    assert bootstrap.main([]) == 2
    said = capsys.readouterr().err
    assert "Python 3.11 or newer is needed; found 3.9.18" in said
    assert "apt-get install python3.11" in said


def test_a_python_that_suits_is_handed_the_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, code in (("python3.14", 127), ("python3.12", 0)):  # the first is a dead shim
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {code}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    handed: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(os, "execvp", lambda name, argv: handed.append((name, argv)))
    bootstrap.hand_over(["--dev"])
    assert handed == [("python3.12", ["python3.12", "-IS", str(SOURCE), "--dev"])]


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["--dve"], 2)])
def test_arguments(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert bootstrap.main(arguments) == code
    assert "Usage" in "".join(capsys.readouterr())


# ---- system packages ----


def test_root_installs_by_apt_without_starting_services() -> None:
    plan = plan_install(Facts(("apt-get",), root=True), PACKAGES)
    assert plan.argv[:2] == ["sh", "-c"]
    assert "policy-rc.d" in plan.argv[2]
    assert plan.argv[-2:] == ["apache2-utils", "nginx"]


def test_passwordless_sudo_installs_too_and_never_asks() -> None:
    plan = plan_install(Facts(("dnf",), sudo=True, passwordless=True), PACKAGES)
    assert plan.argv == ["sudo", "-n", "dnf", "install", "-y", "httpd-tools"]


def test_a_sudo_that_asks_leaves_the_line_to_the_person() -> None:
    plan = plan_install(Facts(("apt-get",), sudo=True), PACKAGES)
    assert plan.argv == []
    assert plan.line == (
        "sudo apt-get update && sudo apt-get install -y --no-install-recommends apache2-utils nginx"
    )


def test_without_sudo_the_line_is_for_root() -> None:
    line = plan_install(Facts(("apt-get",)), PACKAGES).line
    assert "sudo" not in line
    assert line.endswith("(as root)")


def test_brew_serves_where_the_system_manager_would_ask() -> None:
    facts = Facts(("apt-get", "brew"), sudo=True)
    assert plan_install(facts, PACKAGES).argv == ["brew", "install", "httpd"]


def test_without_a_known_package_manager_there_is_no_line() -> None:
    assert plan_install(Facts(("apk",), root=True), PACKAGES) == ([], "")


def test_missing_ab_that_may_not_be_installed_stops_before_anything_is_made(
    checkout: Path,
) -> None:
    machine = FakeMachine("nginx", facts=Facts(("apt-get",), sudo=True))
    with pytest.raises(
        SetupError, match=r"Missing: ab(.|\n)*sudo apt-get install .*apache2-utils$"
    ):
        Setup(machine, checkout).run(Wanted())
    assert not (checkout / ".venv").exists()


def test_missing_nginx_is_said_and_set_up_goes_on(checkout: Path) -> None:
    machine = FakeMachine("ab", facts=Facts(("apt-get",), sudo=True))
    setup = Setup(machine, checkout)
    setup.run(Wanted())
    assert "nginx deployments will be skipped" in machine.said[0]
    assert setup.is_ready(Wanted())  # and is not tried again and again


def test_all_that_is_missing_is_installed_in_one_go(checkout: Path) -> None:
    machine = FakeMachine(facts=Facts(("apt-get",), root=True), ensurepip=False)
    Setup(machine, checkout).run(Wanted())
    assert machine.ran[0].endswith(f" sh apache2-utils nginx python{RUNNING}-venv")
    assert sum("apt-get" in line for line in machine.ran) == 1


def test_a_failed_installation_shows_its_last_lines(checkout: Path) -> None:
    machine = FakeMachine(facts=Facts(("apt-get",), root=True))
    machine.on_run = lambda _line: None
    machine.answers = {"apt-get": Outcome(100, "E: Unable to locate package")}
    with pytest.raises(SetupError, match="Unable to locate package"):
        Setup(machine, checkout).run(Wanted())


def test_a_missing_venv_module_has_a_line_for_debian_only(checkout: Path) -> None:
    machine = FakeMachine("ab", "nginx", facts=Facts(("dnf",), root=True), ensurepip=False)
    with pytest.raises(SetupError, match="venv module"):
        Setup(machine, checkout).run(Wanted())
    assert machine.ran == []


def test_listing_and_reporting_do_without_programs(checkout: Path) -> None:
    machine = FakeMachine(facts=Facts(("apt-get",), sudo=True))
    setup = Setup(machine, checkout)
    setup.run(Wanted(programs=False))
    assert setup.is_ready(Wanted(programs=False))
    assert not setup.is_ready(Wanted())


# ---- uWSGI ----


@pytest.mark.parametrize(
    ("compiler", "headers", "expected"),
    [
        ("/bin/cc", True, ["uwsgi", "pyuwsgi"]),
        ("/bin/cc", False, ["pyuwsgi"]),
        (None, True, ["pyuwsgi"]),
    ],
)
def test_uwsgi_is_compiled_only_where_it_can_be(
    compiler: str | None,
    headers: bool,
    expected: list[str],
) -> None:
    assert uwsgi_choices(compiler, headers=headers) == expected


def test_a_compiled_uwsgi_is_kept(checkout: Path) -> None:
    machine = FakeMachine("ab", "nginx", "gcc")
    Setup(machine, checkout).run(Wanted())
    assert machine.installed() == ["build", "base", "uwsgi"]


@pytest.mark.parametrize("sign", ["/uwsgi.txt", "uwsgi --help"])
def test_a_uwsgi_that_does_not_compile_or_run_gives_way_to_the_wheel(
    checkout: Path, sign: str
) -> None:
    machine = FakeMachine("ab", "nginx", "clang")
    machine.answers = {sign: Outcome(1)}
    Setup(machine, checkout).run(Wanted())
    assert machine.installed() == ["build", "base", "uwsgi", "pyuwsgi"]
    assert any("prebuilt wheel is used instead" in line for line in machine.said)


# ---- the stamp ----


def test_a_stamp_survives_its_file() -> None:
    stamp = Stamp("3.11", "/a b=c", "ab12", "yes", "no")
    assert parse_stamp(format_stamp(stamp)) == stamp
    assert parse_stamp("torn") == Stamp()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "ready"),
        ({"dev": "yes"}, "update"),
        ({"locks": "new"}, "update"),
        ({"python": "3.12"}, "rebuild"),
        ({"root": "/moved"}, "rebuild"),
    ],
)
def test_what_a_change_costs(change: dict[str, str], expected: str) -> None:
    found = Stamp("3.11", "/here", "old")
    assert venv_state(found, found._replace(**change)) == expected
    assert venv_state(Stamp(), found) == "rebuild"


def test_a_second_call_does_nothing(checkout: Path) -> None:
    machine = FakeMachine("ab", "nginx")
    setup = fully_set_up(checkout, machine)
    assert setup.is_ready(Wanted())
    assert machine.ran == []


def test_the_tests_tools_are_added_and_stay(checkout: Path) -> None:
    machine = FakeMachine("ab", "nginx")
    setup = fully_set_up(checkout, machine)
    assert not setup.is_ready(Wanted(dev=True))
    setup.run(Wanted(dev=True))
    assert machine.installed() == ["build", "dev"]  # uWSGI is not compiled again for them
    assert not any("-m venv" in line for line in machine.ran)
    (checkout / "requirements" / "dev.txt").write_text("newer")
    machine.ran.clear()
    setup.run(Wanted())  # an update for `make bench` keeps what `make test` needs
    assert "dev" in machine.installed()
    assert setup.is_ready(Wanted(dev=True))


def test_an_update_never_installs_one_uwsgi_over_the_other(checkout: Path) -> None:
    machine = FakeMachine("ab", "nginx")
    setup = fully_set_up(checkout, machine)
    (checkout / "requirements" / "pyuwsgi.txt").write_text("newer")
    setup.run(Wanted())
    removed = next(i for i, line in enumerate(machine.ran) if "uninstall -y uwsgi pyuwsgi" in line)
    assert any("pyuwsgi.txt" in line for line in machine.ran[removed:])


def test_an_ab_that_has_gone_is_noticed(checkout: Path) -> None:
    machine = FakeMachine("ab", "nginx")
    setup = fully_set_up(checkout, machine)
    machine.programs.clear()
    assert not setup.is_ready(Wanted())


def test_a_broken_python_inside_means_rebuild(checkout: Path) -> None:
    machine = FakeMachine("ab", "nginx")
    setup = fully_set_up(checkout, machine)
    Path(setup.python).unlink()
    Path(setup.python).symlink_to("/nowhere/python3")
    assert not setup.is_ready(Wanted())
    setup.run(Wanted())
    assert any("-m venv" in line for line in machine.ran)


@pytest.mark.parametrize("step", ["-m venv", "base.txt", "pyuwsgi.txt", " -e "])
def test_an_interrupted_set_up_counts_as_none(checkout: Path, step: str) -> None:
    machine = FakeMachine("ab", "nginx")

    def interrupt(line: str) -> None:
        machine.install(line)
        if step in line:
            raise bootstrap.Interrupted(2)

    machine.on_run = interrupt
    setup = Setup(machine, checkout)
    with pytest.raises(bootstrap.Interrupted):
        setup.run(Wanted())
    assert not setup.is_ready(Wanted())
    machine.on_run = machine.install
    machine.ran.clear()
    setup.run(Wanted())
    assert any("-m venv" in line for line in machine.ran)
    assert setup.is_ready(Wanted())


def test_an_interrupted_update_counts_as_none(checkout: Path) -> None:
    machine = FakeMachine("ab", "nginx")
    setup = fully_set_up(checkout, machine)
    (checkout / "requirements" / "base.txt").write_text("newer")
    machine.answers = {"base.txt": Outcome(1, "no")}
    with pytest.raises(SetupError):
        setup.run(Wanted())
    (checkout / "requirements" / "base.txt").write_text("base")  # the old locks are back
    assert not setup.is_ready(Wanted())


# ---- what people read ----


@pytest.mark.parametrize(
    ("output", "remedy"),
    [
        (NO_NETWORK, "cannot be reached"),
        ("ERROR: No matching distribution found for gevent==1", "no such file for this machine"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES FROM", "not the locked file"),
        ("something else", "run the same command again"),
    ],
)
def test_a_failure_of_pip_names_its_remedy(output: str, remedy: str) -> None:
    assert remedy in explain_pip(output)


def test_only_the_last_lines_that_say_something_are_shown() -> None:
    assert last_lines(f"first\n\n{NO_NETWORK}", 1) == "    ERROR: No matching distribution"
    assert "Retrying" not in last_lines(NO_NETWORK)


# ---- the real machine ----


def test_programs_are_found_off_path_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "hidden"
    program.write_text("")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(bootstrap, "MORE_PATH", [str(tmp_path)])
    assert Machine().which("hidden") is None  # there, but cannot be run
    program.chmod(0o755)
    assert Machine().which("hidden") == str(program)


def test_running_keeps_the_output_and_the_exit_code() -> None:
    outcome = Machine().run(["sh", "-c", "echo $WORD; echo err >&2; exit 3"], WORD="out")
    assert outcome == (3, "out\nerr\n")
    assert Machine().run(["/nowhere/program"]).code == 127


def test_an_orphan_keeps_others_out_of_its_checkout(checkout: Path) -> None:
    """Its parent may be killed, the child still writes: the lock must outlive the parent."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import bootstrap as b; from pathlib import "
        "Path; m = b.Machine(); b.lock_checkout(m, Path(sys.argv[2])); print('locked', flush=True);"
        "m.run(['sleep', '1.5'])"
    )
    argv = [sys.executable, "-c", script, str(SOURCE.parent), str(checkout)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        time.sleep(0.3)  # long enough for it to start its child
        holder.kill()
    with (checkout / "requirements" / "base.txt").open() as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_EX)


# ---- the locks ----


def pins(name: str) -> set[str]:
    text = (CHECKOUT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    # Without the markers: a package can be needed on more platforms for tests than without.
    lines = [line for line in text.splitlines() if "==" in line and line[0].isalnum()]
    return {line.rstrip("\\ ").partition(" ;")[0] for line in lines}


def test_every_lock_holds_versions_and_hashes_only() -> None:
    for lock in (CHECKOUT / "requirements").glob("*.txt"):
        text = lock.read_text(encoding="utf-8")
        kinds = [line for line in text.splitlines() if line and line.strip()[0] != "#"]
        assert all("==" in line or line.startswith("    --hash=sha256:") for line in kinds), lock


def test_the_locks_agree_with_each_other() -> None:
    assert pins("build") <= pins("base") <= pins("dev")
    assert len(pins("uwsgi")) == len(pins("pyuwsgi")) == 1
