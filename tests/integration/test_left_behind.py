"""Nothing is left behind: no process, no port, no folder, however a run ends."""

import signal
from pathlib import Path

import pytest

from bench.services.nginx import find_nginx
from bench.store import load_run
from tests.integration.harness import (
    Ended,
    Harness,
    pure_json,
    report_of,
    started,
    wait_for,
    write_app,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

# The most that a run can have: nginx, uWSGI, the slow API, Postgres and ab.
HEAVIEST = "nginx-uwsgi" if find_nginx() else "gevent-uwsgi"
ON_A_DATABASE = (HEAVIEST, "--workload", "db", "--concurrency", "4", "--delay", "1")
FOUR_SECONDS = ("--requests", "12")
TO_BE_INTERRUPTED = ("--duration", "100")

HELLO = ("--workload", "hello", "--requests", "10", "--concurrency", "2")
NEVER_READY = """
import os
import time
from pathlib import Path
if "BIND" in os.environ:  # a server imports it, and not the look at it before
    Path(__file__).with_name("importing").touch()
    time.sleep(300)

def app(environ, start_response):
    raise NotImplementedError
"""
NEVER_IMPORTED = NEVER_READY.replace('if "BIND" in os.environ:', "if True:")
SLOW_TO_VERIFY = """
import time
from pathlib import Path
from flask import Flask, request
app = Flask("slow")
calls = []

@app.get("/")
def index():
    calls.append(request)
    if len(calls) > 1:  # the first one asks whether it is ready
        Path(__file__).with_name("verifying").touch()
        time.sleep(3)
    return "fine"
"""


def assert_gone(harness: Harness) -> Ended:
    ended = harness.wait()
    harness.footprint.assert_nothing_left()
    return ended


def assert_interrupted(harness: Harness, *, trials: int = 0, planned: int = 1) -> Ended:
    """It ended by itself with 130, kept what it had, and left nothing."""
    ended = assert_gone(harness)
    assert ended.code == 130, ended.err
    assert "Traceback" not in ended.err
    assert ended.run.status == "interrupted"
    assert ended.run.finished is not None
    assert len(ended.run.trials) == trials
    missing = planned - trials
    said = f"the run was interrupted: {missing} of {planned} trials are missing"
    assert said in report_of(ended.folder)
    return ended


def test_after_a_run_that_ends_well(tmp_path: Path) -> None:
    with started(tmp_path, "run", *ON_A_DATABASE, *FOUR_SECONDS) as harness:
        harness.wait_for_load()
        seen = " ".join(" ".join(process.cmdline()) for process in harness.look())
        ended = assert_gone(harness)

    assert ended.code == 0, ended.err
    # the check has seen what it is to miss
    for program in ("uwsgi", "slow_api/server.py", "postgres", "guardian_helper", "ab -r"):
        assert program in seen
    assert len(harness.footprint.ports) >= 3
    assert len(harness.footprint.tokens) == 1


class TestInterrupted:
    """Ctrl-C reaches the whole group of the terminal; a supervisor signals one process."""

    @pytest.mark.parametrize(
        ("deployment", "group"),
        # gunicorn only once: its workers do not stop while they import, so it takes the whole grace
        [("gevent-uwsgi", True), ("gevent-uwsgi", False), ("gevent-gunicorn", True)],
    )
    def test_while_starting(self, tmp_path: Path, deployment: str, group: bool) -> None:
        place = write_app(tmp_path, "never", NEVER_READY)
        options = ("--app", "never:app", "--app-dir", str(place))
        with started(tmp_path, "run", deployment, *HELLO, *options) as harness:
            harness.wait_for((place / "importing").exists, "the import of the app")
            harness.look()
            harness.signal(signal.SIGINT, group=group)
            assert_interrupted(harness)

    def test_while_the_app_is_looked_at(self, tmp_path: Path) -> None:
        place = write_app(tmp_path, "never", NEVER_IMPORTED)
        options = ("--app", "never:app", "--app-dir", str(place))
        with started(tmp_path, "run", "gevent-uwsgi", *HELLO, *options) as harness:
            harness.wait_for((place / "importing").exists, "the import of the app")
            harness.look()
            harness.signal(signal.SIGINT)
            ended = harness.wait()
            harness.footprint.assert_nothing_left()
        assert ended.code == 130
        assert not list(tmp_path.glob("results/*"))

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_while_verifying(self, tmp_path: Path, number: int) -> None:
        place = write_app(tmp_path, "slow", SLOW_TO_VERIFY)
        options = ("--app", "slow:app", "--app-dir", str(place))
        with started(tmp_path, "run", "gevent-pywsgi", *HELLO, *options) as harness:
            harness.wait_for((place / "verifying").exists, "the verification")
            harness.look()
            harness.signal(number)
            assert_interrupted(harness)

    @pytest.mark.parametrize(
        ("number", "group"),
        [
            (signal.SIGINT, True),
            (signal.SIGINT, False),
            (signal.SIGTERM, False),
            (signal.SIGHUP, False),
        ],
        ids=["SIGINT-group", "SIGINT", "SIGTERM", "SIGHUP"],
    )
    def test_while_loading(self, tmp_path: Path, number: int, group: bool) -> None:
        with started(tmp_path, "run", *ON_A_DATABASE, *TO_BE_INTERRUPTED, "--json") as harness:
            harness.wait_for_load()
            harness.signal(number, group=group)
            ended = assert_interrupted(harness)

        assert pure_json(ended.out)["status"] == "interrupted"

    def test_what_was_measured_before_is_kept(self, tmp_path: Path) -> None:
        arguments = ("gevent-pywsgi", "--requests", "7", "--concurrency", "2", "--rounds", "2")
        with started(tmp_path, "run", *arguments, "--delay", "1") as harness:
            harness.wait_for(lambda: harness.saved_trials() == 1, "the first trial")
            harness.wait_for_load()
            harness.signal(signal.SIGINT, group=True)
            ended = assert_interrupted(harness, trials=1, planned=2)

        assert ended.run.trials[0].valid
        assert "gevent-pywsgi " in ended.out

    def test_again_and_again(self, tmp_path: Path) -> None:
        with started(tmp_path, "run", *ON_A_DATABASE, *TO_BE_INTERRUPTED) as harness:
            harness.wait_for_load()
            harness.signal(signal.SIGINT, group=True)
            for _ in range(3):
                if harness.child.poll() is None:
                    harness.look()
                    harness.signal(signal.SIGINT, group=True)
            ended = assert_gone(harness)

        # the last one may come when nothing is left to do but exit: a shell sees 130 in either case
        assert ended.code in {130, -signal.SIGINT}
        assert ended.run.status == "interrupted"


class TestKilled:
    """No ``finally`` runs: somebody else has to clean up."""

    def test_in_mid_load(self, tmp_path: Path) -> None:
        with started(tmp_path, "run", *ON_A_DATABASE, *FOUR_SECONDS, "--rounds", "2") as harness:
            harness.wait_for(lambda: harness.saved_trials() == 1, "the first trial")
            harness.wait_for_load()
            alive = harness.look()
            harness.signal(signal.SIGKILL)
            ended = assert_gone(harness)

        assert ended.code == -signal.SIGKILL
        assert len(alive) >= 10
        record = ended.run
        assert (record.status, record.finished, len(record.trials)) == ("running", None, 1)
        assert record.trials[0].valid
        report = report_of(ended.folder)
        assert "the run was cut short: 1 of 2 trials are missing" in report
        assert not list(ended.folder.glob(".run.json*"))

    def test_while_starting(self, tmp_path: Path) -> None:
        place = write_app(tmp_path, "never", NEVER_READY)
        options = ("--app", "never:app", "--app-dir", str(place))
        with started(tmp_path, "run", HEAVIEST, *HELLO, *options) as harness:
            harness.wait_for((place / "importing").exists, "the import of the app")
            harness.look()
            harness.signal(signal.SIGKILL)
            ended = assert_gone(harness)

        assert load_run(ended.folder).trials == ()
        assert "the run was cut short: 1 of 1 trials are missing" in report_of(ended.folder)


def test_a_condition_that_never_comes_fails_and_does_not_hang() -> None:
    with pytest.raises(AssertionError, match="the end of days: not within"):
        wait_for(lambda: False, "the end of days", deadline=0.1)
