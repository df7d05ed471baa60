"""The Makefile: help, variables, typos, exit codes and Ctrl-C, with flask-bench replaced."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
VARIABLES = [
    *("WORKLOAD", "REQUESTS", "DURATION", "CONCURRENCY", "DELAY", "ROUNDS", "WORKERS", "THREADS"),
    *("ASYNC_CORES", "RUNNER", "LOAD", "APP", "URL_PATH", "BASE", "NEW"),
]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not shutil.which("make"), reason="needs make"),
]

# Says what it was called with; `run sleep` waits for a signal, then takes its time to clean up.
FAKE_BENCH = """#!{python}
import json, os, sys, time
names = {variables!r}
given = {{name: os.environ[name] for name in names if name in os.environ}}
try:  # from before it says that it runs: the signal may come at once
    print(json.dumps([sys.argv[1:], given]), flush=True)
    if sys.argv[1:] == ["run", "sleep"]:
        time.sleep(30)
except KeyboardInterrupt:
    time.sleep(0.5)
    print("cleaned up", flush=True)
    sys.exit(130)
sys.exit(3 if "nosuch" in sys.argv else 0)
"""

Called = tuple[list[str], dict[str, str]]
Make = Callable[..., Called]


def environment(**more: str) -> dict[str, str]:
    dropped = {*VARIABLES, "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    return {**{name: value for name, value in os.environ.items() if name not in dropped}, **more}


@pytest.fixture
def front(tmp_path: Path) -> Path:
    """A folder with the real Makefile, a set-up that has nothing to do, and a fake flask-bench."""
    shutil.copy(CHECKOUT / "Makefile", tmp_path)
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "bootstrap.py").write_text("")
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    (programs / "flask-bench").write_text(
        FAKE_BENCH.format(python=sys.executable, variables=VARIABLES)
    )
    (programs / "flask-bench").chmod(0o755)
    return tmp_path


def run_make(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def make(front: Path) -> Make:
    def call(*arguments: str, **variables: str) -> Called:
        done = run_make(front, *arguments, **variables)
        assert done.returncode == 0, done.stderr
        called, given = json.loads(done.stdout)
        return called, given

    return call


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["bench-gevent-uwsgi"], ["run", "gevent-uwsgi"]),
        (["bench-"], ["run", ""]),
        (["bench"], ["run"]),
        (["report"], ["report"]),
        (["list"], ["list"]),
        (["compare"], ["compare"]),
        (["compare", "BASE=a b", "NEW=$c"], ["compare", "a b", "$c"]),
    ],
)
def test_every_target_is_a_call_of_flask_bench(
    make: Make, arguments: list[str], expected: list[str]
) -> None:
    assert make(*arguments)[0] == expected


@pytest.mark.parametrize("value", ["db", "two words", "$HOME $x", "it's", '"', "a&b;c", "#", "%25"])
def test_variables_arrive_as_they_were_typed(make: Make, value: str) -> None:
    assert make("bench", f"URL_PATH={value}")[1] == {"URL_PATH": value}
    assert make("bench", URL_PATH=value)[1] == {"URL_PATH": value}


def test_a_value_is_never_run_by_make(make: Make, tmp_path: Path) -> None:
    make("bench", f"APP=$(shell touch {tmp_path}/ran)")
    assert not (tmp_path / "ran").exists()


def test_every_variable_is_handed_on_and_none_is_made_up(make: Make) -> None:
    given = {name: name.lower() for name in VARIABLES}
    assert make("bench", *(f"{name}={value}" for name, value in given.items()))[1] == given
    assert make("bench")[1] == {}


def test_a_failure_of_flask_bench_is_makes_own_exit_code(front: Path) -> None:
    done = run_make(front, "bench-nosuch")
    assert done.returncode == 2
    assert "Error 3" in done.stderr


def test_a_failed_set_up_stops_before_flask_bench(front: Path) -> None:
    (front / "bench" / "bootstrap.py").write_text("raise SystemExit(2)")
    done = run_make(front, "bench-gevent-uwsgi")
    assert done.returncode == 2
    assert done.stdout == ""


def test_a_dry_run_shows_the_call(front: Path) -> None:
    done = run_make(front, "-n", "bench-gevent-uwsgi", "WORKLOAD=db")
    assert done.returncode == 0
    assert ".venv/bin/flask-bench run 'gevent-uwsgi'" in done.stdout


def test_help_is_the_default_and_names_every_target_and_variable(front: Path) -> None:
    done = run_make(front)
    assert done.stdout == run_make(front, "help").stdout
    targets = "bench bench-<deployment> compare report list setup test lint clean lock help"
    assert [name for name in targets.split() if f"make {name} " not in done.stdout] == []
    assert [name for name in VARIABLES if f"{name}=" not in done.stdout] == []


def test_clean_keeps_the_results(front: Path) -> None:
    (front / "results").mkdir()
    (front / "results" / "run.json").write_text("{}")
    (front / "bench" / "__pycache__").mkdir()
    assert run_make(front, "clean").returncode == 0
    assert (front / "results" / "run.json").exists()
    assert not (front / ".venv").exists()
    assert not (front / "bench" / "__pycache__").exists()


def test_make_waits_for_the_clean_up_after_ctrl_c(front: Path) -> None:
    with subprocess.Popen(
        ["make", "bench-sleep"],
        cwd=front,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it is running now
        os.killpg(process.pid, signal.SIGINT)  # as the terminal does: the whole group at once
        code = process.wait(20)
        os.set_blocking(process.stdout.fileno(), False)  # nobody is left to write later
        assert process.stdout.read() == "cleaned up\n"
    assert code != 0


def test_the_real_flask_bench_names_the_nearest_deployment() -> None:
    program = CHECKOUT / ".venv" / "bin" / "flask-bench"
    if not program.exists():
        pytest.skip("the harness is not installed here")
    done = subprocess.run(
        [program, "run", "gevent-uwgsi"],
        cwd=CHECKOUT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "gevent-uwsgi" in done.stderr
