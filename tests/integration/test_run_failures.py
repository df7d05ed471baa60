"""What goes wrong for real, and what a run says of it: clearly, quickly, and with all the rest."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.processes.ports import free_port
from bench.services.nginx import find_nginx
from tests.integration.harness import Ended, pure_json, run, started, write_app

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

needs_nginx = pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")

BARE = (
    *("devserver", "devserver-threaded", "gevent-pywsgi", "sync-gunicorn", "gevent-gunicorn"),
    *("sync-uwsgi", "gevent-uwsgi"),
)
"""The deployments without a proxy and without a need of their own."""
HELLO = ("--workload", "hello", "--requests", "10", "--concurrency", "2")
NO_TIME_OUT = 15.0
"""Seconds; half of what a server may take to start, many times what it takes to fail."""


FLASK = "from flask import Flask\napp = Flask('broken')\n"
ONLY_WHEN_SERVED = "import os\nif 'BIND' in os.environ:\n    "


class TestAnAppThatDoesNotImport:
    def test_every_server_shows_the_import_error_itself(
        self, tmp_path: Path, subtests: pytest.Subtests
    ) -> None:
        place = write_app(
            tmp_path, "broken", ONLY_WHEN_SERVED + "from json import no_such_name\n" + FLASK
        )
        ended = run(tmp_path, "run", *BARE, *HELLO, "--app", "broken:app", "--app-dir", str(place))

        assert ended.code == 3
        assert len(ended.run.trials) == len(BARE)
        for trial in ended.run.trials:
            with subtests.test(deployment=trial.deployment.name):
                assert trial.failure is not None
                assert "cannot import name 'no_such_name' from 'json'" in trial.failure
                assert "broken.py" in trial.failure
                assert trial.seconds["start"] < NO_TIME_OUT
                assert trial.measurement is None
                assert trial.failure.splitlines()[-1] in ended.err

    @needs_nginx
    def test_behind_nginx_too(self, tmp_path: Path) -> None:
        place = write_app(
            tmp_path, "broken", ONLY_WHEN_SERVED + "import no_such_dependency\n" + FLASK
        )
        names = ("nginx-gunicorn", "nginx-uwsgi")
        ended = run(tmp_path, "run", *names, *HELLO, "--app", "broken:app", "--app-dir", str(place))

        assert ended.code == 3
        for name in names:
            trial = ended.trial(name)
            assert "No module named 'no_such_dependency'" in (trial.failure or "")
            assert trial.seconds["start"] < NO_TIME_OUT

    @pytest.mark.parametrize("app", ["nowhere:app", "shop:missing"])
    def test_an_app_that_is_not_there_is_named_before_anything_starts(
        self, tmp_path: Path, app: str
    ) -> None:
        place = write_app(tmp_path, "shop", "from flask import Flask\nflask_app = Flask('shop')\n")
        ended = run(tmp_path, "run", *BARE, *HELLO, "--app", app, "--app-dir", str(place))

        assert ended.code == 2
        word = "nowhere" if app.startswith("nowhere") else "missing"
        assert word in ended.err
        assert not list(tmp_path.glob("results/*/run.json"))

    def test_the_other_trials_still_run_and_are_saved(self, tmp_path: Path) -> None:
        text = (
            "import os\nfrom flask import Flask\napp = Flask('picky')\n"
            "@app.get('/')\ndef index():\n    return 'fine'\n"
            "if 'THREADS' in os.environ:\n    raise ImportError('I do not like threads')\n"
        )
        place = write_app(tmp_path, "picky", text)
        names = ("sync-gunicorn", "gevent-pywsgi")
        options = ("--app", "picky:app", "--app-dir", str(place), "--json", "--rounds", "2")
        ended = run(tmp_path, "run", *names, *HELLO, *options)

        assert ended.code == 3
        record = ended.run
        assert record.status == "complete"
        assert len(pure_json(ended.out)["trials"]) == len(record.trials) == 4
        for trial in record.trials:
            if trial.deployment.name == "gevent-pywsgi":
                assert trial.valid
            else:
                assert "ImportError: I do not like threads" in (trial.failure or "")


@needs_nginx
def test_an_app_of_ones_own_made_by_a_factory_runs_everywhere(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    text = (
        "from flask import Flask\n"
        "def create_app():\n"
        "    app = Flask('shop')\n"
        "    app.add_url_rule('/checkout', view_func=lambda: 'paid', endpoint='checkout')\n"
        "    return app\n"
    )
    place = write_app(tmp_path, "wsgi", text)
    (place / "wsgi.py").rename(place / "entry.py")
    ended = run(
        *(tmp_path, "run", "--requests", "10", "--concurrency", "2", "--url-path", "/checkout"),
        *("--workload", "db"),
        APP="entry:create_app()",
        APP_DIR=str(place),
    )

    assert ended.code == 0, ended.err
    assert len(ended.run.trials) == 9
    assert list(ended.run.skipped) == ["gevent-uwsgi-blocking"]  # a control of the demo's
    for trial in ended.run.trials:
        with subtests.test(deployment=trial.deployment.name):
            assert trial.valid
            assert trial.measurement is not None
            assert trial.measurement.body_bytes == len("paid")
            assert trial.environment["FLASK_APP"] == "entry:create_app()"


def test_an_app_that_exits_under_load_makes_its_trial_invalid(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    text = (
        "import os\nfrom flask import Flask, request\napp = Flask('mortal')\n"
        "@app.get('/')\n"
        "def index():\n"
        "    if 'ApacheBench' in request.headers['User-Agent'] and 'THREADS' not in os.environ:\n"
        "        print('this is the end', flush=True)\n"
        "        os._exit(7)\n"
        "    return 'fine'\n"
    ).replace("request.headers['User-Agent']", "request.headers.get('User-Agent', '')")
    place = write_app(tmp_path, "mortal", text)
    names = ("gevent-pywsgi", "gevent-gunicorn", "gevent-uwsgi", "sync-gunicorn")
    options = ("--app", "mortal:app", "--app-dir", str(place), "--requests", "4")
    ended = run(tmp_path, "run", *names, *HELLO, *options)

    assert ended.code == 3
    with subtests.test("a server that is gone: its exit status and last words"):
        failure = ended.trial("gevent-pywsgi").failure or ""
        assert "exited with status 7" in failure
        assert "this is the end" in failure
    for name in ("gevent-gunicorn", "gevent-uwsgi"):
        with subtests.test("workers that come back: the responses that were lost", server=name):
            trial = ended.trial(name)
            assert not trial.valid
            assert trial.failure
            assert name in ended.err
    with subtests.test("the one that goes on is measured"):
        assert ended.trial("sync-gunicorn").valid
    row = next(line for line in ended.out.splitlines() if line.startswith("gevent-pywsgi "))
    assert row.split()[1] == "–"


def test_wrong_answers_under_load_make_a_trial_invalid(tmp_path: Path) -> None:
    text = (
        "from flask import Flask\napp = Flask('moody')\ncalls = []\n"
        "@app.get('/')\n"
        "def index():\n"
        "    calls.append(1)\n"
        "    return ('no', 503) if len(calls) > 2000 else ('fine', 200)\n"  # far beyond the warm-up
    )
    place = write_app(tmp_path, "moody", text)
    options = ("--app", "moody:app", "--app-dir", str(place), "--requests", "4000")
    ended = run(tmp_path, "run", "gevent-pywsgi", "--concurrency", "2", *options)

    assert ended.code == 3
    trial = ended.trial("gevent-pywsgi")
    assert trial.measurement is not None
    wrong = trial.measurement.failures["non_2xx"]
    assert wrong >= 2000
    assert f"of 4000: {wrong} length, {wrong} non_2xx" in (trial.failure or "")


class TestPorts:
    def test_a_port_that_is_taken_names_its_holder(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
            names = ("gevent-pywsgi", "devserver-threaded")
            ended = run(tmp_path, "run", *names, *HELLO, "--port", str(port))

        assert ended.code == 3
        words = f"port {port} on 127.0.0.1 is taken by process {os.getpid()} ("
        for name in names:
            assert words in (ended.trial(name).failure or "")
        assert ended.err.count(words) == 2

    def test_a_port_of_ones_choice_serves_one_after_the_other(self, tmp_path: Path) -> None:
        port = free_port()
        names = ("gevent-pywsgi", "gevent-uwsgi", "devserver-threaded")
        ended = run(tmp_path, "run", *names, *HELLO, "--port", str(port))

        assert ended.code == 0, ended.err
        for name in names:
            assert ended.trial(name).environment["BIND"] == f"127.0.0.1:{port}"


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    """Mount a small file system in memory; skips the test where that is not allowed."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a file system")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a file system here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


class TestResultsThatCannotBeWritten:
    def assert_refused(self, ended: Ended, words: str) -> None:
        assert words in " ".join(ended.err.split())
        assert "Traceback" not in ended.err
        assert ended.out == ""
        assert ended.code == 3

    def test_a_file_in_the_way(self, tmp_path: Path) -> None:
        (tmp_path / "results").write_text("")
        ended = run(tmp_path, "run", "gevent-pywsgi", *HELLO)
        self.assert_refused(ended, f"cannot write to {tmp_path}/results: ")

    def test_a_read_only_file_system(self, tmp_path: Path) -> None:
        with mounted(tmp_path / "disk", "ro,size=1m") as disk:
            ended = run_into(disk / "results", tmp_path)
        self.assert_refused(ended, f"cannot write to {disk}/results: Read-only file system")

    def test_a_disk_that_is_as_good_as_full(self, tmp_path: Path) -> None:
        with mounted(tmp_path / "disk", "size=1m") as disk:
            ended = run_into(disk, tmp_path)
        self.assert_refused(ended, "MB are free where")

    def test_a_disk_that_fills_up_in_mid_run(self, tmp_path: Path) -> None:
        with (
            mounted(tmp_path / "disk", "size=80m") as disk,
            started(
                *(tmp_path, "run", "gevent-pywsgi", "--rounds", "3", "--workload", "hello"),
                *("--duration", "2", "--concurrency", "2", "--json"),
                results=disk,
                output=tmp_path,
            ) as harness,
        ):
            harness.wait_for(lambda: harness.saved_trials() == 1, "the first trial")
            fill(disk / "filler")
            ended = harness.wait()
            saved = ended.folder / "run.json"
            kept = saved.read_text()

        shown = pure_json(ended.out)
        assert "No space left on device" in ended.err
        assert "Traceback" not in ended.err
        # what was measured is shown, whether there was room to save it or not
        assert len(shown["trials"]) == 3
        assert shown["trials"][0]["failure"] is None
        assert pure_json(kept)["trials"][0]["failure"] is None
        assert ended.code == 3


def run_into(results: Path, folder: Path) -> Ended:
    return run(folder, "run", "gevent-pywsgi", *HELLO, results=results, output=folder)


def fill(file: Path) -> None:
    """Write until not one more byte goes in."""
    with file.open("wb", buffering=0) as stream:
        for size in (1024**2, 4096, 1):
            while True:
                try:
                    stream.write(b"x" * size)
                except OSError:
                    break


class TestServicesThatFail:
    def test_a_slow_api_that_dies_in_mid_load(self, tmp_path: Path) -> None:
        with started(
            *(tmp_path, "run", "gevent-pywsgi", "--rounds", "2", "--requests", "20"),
            *("--concurrency", "10", "--delay", "1.5"),
        ) as harness:
            harness.wait_for_load()
            api = harness.process("slow_api/server.py")
            assert api is not None
            for process in (api, *api.children()):
                process.send_signal(signal.SIGKILL)
            ended = harness.wait()
            harness.footprint.assert_nothing_left()

        assert ended.code == 3
        first, second = ended.run.trials
        assert not first.valid
        assert "the slow API was ended by SIGKILL" in (first.failure or "")
        assert second.valid, second.failure

    def test_a_database_that_is_not_there(self, tmp_path: Path) -> None:
        url = f"postgresql://shop:hunter2@127.0.0.1:{free_port()}/shop"
        ended = run(
            *(tmp_path, "run", "gevent-pywsgi", "--workload", "db", "--requests", "10"),
            *("--concurrency", "2", "--database-url", url, "--json"),
        )

        assert ended.code == 3
        assert "DATABASE_URL=postgresql://shop:***@127.0.0.1" in ended.err
        assert "does not answer" in ended.err
        assert "Connection refused" in ended.err
        for place in (ended.out, ended.err, (ended.folder / "run.json").read_text()):
            assert "hunter2" not in place


class TestMissingTools:
    def test_without_ab_the_line_that_installs_it(self, tmp_path: Path) -> None:
        began = time.monotonic()
        (tmp_path / "bin").mkdir()
        ended = run(tmp_path, "run", "gevent-pywsgi", *HELLO, PATH=str(tmp_path / "bin"))

        assert ended.code == 2
        assert "ab is not installed" in ended.err
        assert "apt-get install apache2-utils" in ended.err
        assert not ended.results.exists()
        assert time.monotonic() - began < NO_TIME_OUT

    WITHOUT_NGINX = (
        "import bench.services.nginx as nginx; nginx._SYSTEM_PLACES = ();"
        "from bench.cli import main; main()"
    )

    def without_nginx(self, folder: Path, *arguments: str) -> Ended:
        (folder / "bin").mkdir()
        for name in ("ab", "git"):
            if found := shutil.which(name):
                (folder / "bin" / name).symlink_to(found)
        program = (sys.executable, "-c", self.WITHOUT_NGINX)
        return run(folder, "run", *arguments, *HELLO, program=program, PATH=str(folder / "bin"))

    def test_without_nginx_its_deployments_are_skipped_and_say_so(self, tmp_path: Path) -> None:
        ended = self.without_nginx(tmp_path, "nginx-gunicorn", "gevent-pywsgi", "nginx-uwsgi")

        assert [t.deployment.name for t in ended.run.trials] == ["gevent-pywsgi"]
        assert ended.trial("gevent-pywsgi").valid
        assert set(ended.run.skipped) == {"nginx-gunicorn", "nginx-uwsgi"}
        for name in ("nginx-gunicorn", "nginx-uwsgi"):
            assert f"{name}: skipped: nginx is not installed" in ended.out

    def test_without_nginx_and_nothing_else_to_run(self, tmp_path: Path) -> None:
        ended = self.without_nginx(tmp_path, "nginx-uwsgi")

        assert "nginx is not installed" in ended.out + ended.err
        assert ended.code == 2


class TestLimits:
    def limited(self, folder: Path, *arguments: str) -> Ended:
        program = ("sh", "-c", 'ulimit -n 400 && exec "$@"', "sh", *FLASK_BENCH)
        return run(folder, "run", "gevent-pywsgi", *arguments, program=program)

    def test_more_connections_than_open_files(self, tmp_path: Path) -> None:
        ended = self.limited(tmp_path, "--requests", "500", "--concurrency", "500")
        assert ended.code == 2
        assert "hard limit (RLIMIT_NOFILE, `ulimit -Hn`) is 400" in " ".join(ended.err.split())
        assert "ulimit -n 516" in " ".join(ended.err.split())
        assert not ended.results.exists()

    def test_more_connections_than_ab_takes(self, tmp_path: Path) -> None:
        many = "500000"
        ended = run(*(tmp_path, "run", "gevent-pywsgi", "--requests", many, "--concurrency", many))
        assert ended.code == 2
        assert "CONCURRENCY=500000: this ab takes at most " in ended.err


FLASK_BENCH = (sys.executable, "-c", "from bench.cli import main; main()")
