"""An app of the user's own: looked at by its own interpreter, then run as its deployments would."""

import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bench.catalog import load_catalog
from bench.errors import UsageError
from bench.own_app.app import OwnApp, own_app
from bench.own_app.needs import AppFacts, examine
from bench.own_app.scripts import run_script
from bench.processes.guardian import Guardian
from bench.services.nginx import find_nginx
from tests.integration.harness import is_alive, run, write_app

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SMALL = ("--requests", "10", "--concurrency", "2")
FLASK = "from flask import Flask, request\napp = Flask('shop')\n"
PRODUCTION = tuple(
    d.name
    for d in load_catalog().deployments.values()
    if d.group is None and d.server != "werkzeug" and not d.blocks_in
)


@pytest.fixture
def guardian() -> Iterator[Guardian]:
    with Guardian() as guardian:
        yield guardian


class TestExamination:
    def examine(self, folder: Path, guardian: Guardian, text: str, spec: str = "app") -> AppFacts:
        place = write_app(folder, "shop", text)
        return examine(OwnApp(f"shop:{spec}", place), guardian, seconds=10)

    def refused(self, folder: Path, guardian: Guardian, text: str, spec: str = "app") -> str:
        with pytest.raises(UsageError) as error:
            self.examine(folder, guardian, text, spec)
        return str(error.value)

    @pytest.mark.parametrize(
        ("text", "spec", "kind"),
        [
            (FLASK, "app", "flask"),
            (FLASK + "class Shop(Flask): pass\napp = Shop('x')\n", "app", "flask"),
            (FLASK + "def create_app(a=1, b=2): return app\n", "create_app()", "flask"),
            ("def app(environ, start_response): ...\n", "app", "wsgi"),
            ("def app(e, s, *, extra=1): ...\n", "app", "wsgi"),
            ("def app(*a): ...\n", "app", "wsgi"),
            ("class App:\n def __call__(self, e, s): ...\napp = App()\n", "app", "wsgi"),
            ("class App:\n def app(self, e, s): ...\napp = App().app\n", "app", "wsgi"),
            ("import functools\napp = functools.partial(lambda c, e, s: [], 1)\n", "app", "wsgi"),
            ("from werkzeug.middleware.proxy_fix import ProxyFix\napp = ProxyFix(print)\n", "app",
             "wsgi"),
        ],
    )  # fmt: skip
    def test_what_can_be_served(
        self, tmp_path: Path, guardian: Guardian, text: str, spec: str, kind: str
    ) -> None:
        facts = self.examine(tmp_path, guardian, text, spec)
        assert facts.kind == kind
        assert facts.versions["gevent"]
        assert facts.python == ".".join(map(str, sys.version_info[:3]))

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("def app(): ...\n", "say shop:app()"),
            ("def app(config=None, debug=False): ...\n", "say shop:app()"),
            ("from flask import Flask as app\n", "say shop:app()"),
            ("app = {}\n", "shop:app is a builtins.dict, which no server can call"),
            ("async def app(scope, receive, send): ...\n", "ASGI"),
            ("class A:\n async def __call__(self, s, r, x): ...\napp = A()\n", "ASGI"),
            ("def app(scope, receive, send): ...\n", "ASGI"),
            (
                "from starlette.applications import Starlette\napp = Starlette()\n",
                "make bench-peers",
            ),
            ("from quart import Quart\napp = Quart('x')\n", "make bench-peers"),
            ("flask_app = 1\n", "module:create_app()"),
            ("import no_such_thing.at_all\n", "pip install no_such_thing"),
            ("import os\nos.environ['SHOP_KEY']\n", "--env-file"),
            ("import sys\nsys.exit(7)\n", "sys.exit()"),
            ("import os\nos._exit(7)\n", "status 7"),
            ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "signal 11"),
            ("raise ModuleNotFoundError('install foo')\n", "install foo"),
            ("1 / 0\n", "ZeroDivisionError"),
            ("def broken(:\n", "SyntaxError"),
        ],
    )
    def test_what_cannot(self, tmp_path: Path, guardian: Guardian, text: str, said: str) -> None:
        assert said in self.refused(tmp_path, guardian, text)

    def test_a_name_that_is_not_there_is_no_missing_package(
        self, tmp_path: Path, guardian: Guardian
    ) -> None:
        said = self.refused(tmp_path, guardian, "from json import no_such_name\n")
        assert "no_such_name" in said
        assert "pip install" not in said

    def test_its_own_virtual_environment_is_seen(self, tmp_path: Path, guardian: Guardian) -> None:
        python = tmp_path / "shop" / ".venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.touch()
        said = self.refused(tmp_path, guardian, "import no_such_thing\n")
        assert f"--python {python}" in said

    def test_one_that_is_not_there(self, tmp_path: Path, guardian: Guardian) -> None:
        with pytest.raises(UsageError, match="Is --app-dir the folder"):
            examine(OwnApp("nowhere.wsgi:app", tmp_path), guardian)

    def test_one_that_hangs_is_ended_with_all_that_it_started(
        self, tmp_path: Path, guardian: Guardian
    ) -> None:
        place = write_app(
            tmp_path,
            "shop",
            "import pathlib, subprocess, time\n"
            "child = subprocess.Popen(['sleep', '100'])\n"
            "pathlib.Path('pid').write_text(str(child.pid))\n"
            "print('waiting for Godot', flush=True)\ntime.sleep(100)\n",
        )
        began = time.monotonic()
        with pytest.raises(UsageError, match="did not end within 2 s") as error:
            examine(OwnApp("shop:app", place), guardian, seconds=2)
        assert "waiting for Godot" in str(error.value)
        assert time.monotonic() - began < 20
        pid = int((place / "pid").read_text())
        assert not psutil.pid_exists(pid) or not is_alive(psutil.Process(pid))

    def test_one_that_prints_without_end_fills_no_disk(
        self, tmp_path: Path, guardian: Guardian
    ) -> None:
        text = "import sys\nwhile True:\n    sys.stdout.write('x' * 1000000)\n"
        said = self.refused(tmp_path, guardian, text)
        assert "File too large" in said
        assert len(said) < 200_000

    def test_threads_that_go_on_do_not_hold_it_up(self, tmp_path: Path, guardian: Guardian) -> None:
        text = f"{FLASK}import threading, time\n"
        text += "threading.Thread(target=time.sleep, args=[99]).start()\n"
        began = time.monotonic()
        assert self.examine(tmp_path, guardian, text).kind == "flask"
        assert time.monotonic() - began < 20

    def test_nothing_is_written_to_the_folder(self, tmp_path: Path, guardian: Guardian) -> None:
        write_app(tmp_path, "part", "x = 1\n")
        self.examine(tmp_path, guardian, f"import part\n{FLASK}")
        assert sorted(f.name for f in (tmp_path / "shop").iterdir()) == ["part.py", "shop.py"]

    def test_its_environment(self, tmp_path: Path, guardian: Guardian) -> None:
        place = write_app(
            tmp_path, "shop", f"import os\nassert os.environ['KEY'] == 'a b'\n{FLASK}"
        )
        (tmp_path / "env").write_text("KEY='a b'\n")
        app = own_app("shop:app", folder=place, env_file=tmp_path / "env")
        assert examine(app, guardian).kind == "flask"

    def test_a_script_that_reports_nothing(self, tmp_path: Path, guardian: Guardian) -> None:
        script = tmp_path / "script.py"
        script.write_text("print('hello')\n")
        outcome = run_script(OwnApp("shop:app", tmp_path), script, {}, guardian=guardian)
        assert (outcome.result, outcome.exit_code, outcome.output) == (None, 0, "hello")


@pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")
def test_an_app_in_its_own_environment_runs_behind_every_production_server(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    """No Flask, modules named as the demo's, variables, a POST, and bodies that differ."""
    place = write_app(
        tmp_path,
        "database",  # as a module of the demo is called, which must not be taken for it
        "import itertools, os, only_there, time\n"
        "count = itertools.count()\n"
        "def application(environ, start_response):\n"
        "    body = environ['wsgi.input'].read(int(environ.get('CONTENT_LENGTH') or 0))\n"
        "    right = environ['REQUEST_METHOD'] == 'PUT' and body == b'{\"item\": 7}'\n"
        "    right = right and environ['CONTENT_TYPE'] == 'application/json'\n"
        "    right = right and environ['HTTP_AUTHORIZATION'] == 'Bearer hunter2'\n"
        "    right = right and os.environ['KEY'] == 'secret'\n"
        "    status = '201 Created' if right else '400 Bad Request'\n"
        "    start_response(status, [('Content-Type', 'text/plain')])\n"
        "    return [b'order %d ' % time.time_ns() + b'x' * (next(count) % 7)]\n",
    )
    python = environment_with_servers(tmp_path / "venv")
    (tmp_path / "env").write_text("KEY=secret\nPYTHONPATH=/nowhere\n")
    ended = run(
        *(tmp_path, "run", *SMALL, "--app", "database:application", "--app-dir", str(place)),
        *("--python", str(python), "--env-file", str(tmp_path / "env"), "--url-path", "/order?a=1"),
        *("--method", "put", "--body", '{"item": 7}', "--header", "Content-Type: application/json"),
        *("--header", "Authorization: Bearer hunter2", "--expect-status", "201"),
    )
    assert ended.code == 0, ended.err
    assert [t.deployment.name for t in ended.run.trials] != []
    assert {t.deployment.name for t in ended.run.trials} == {*PRODUCTION}
    assert set(ended.run.skipped) == {"devserver", "devserver-threaded"}
    for trial in ended.run.trials:
        with subtests.test(deployment=trial.deployment.name):
            assert trial.valid
            assert trial.verification is not None
            assert trial.verification.bodies_vary
            assert trial.environment["KEY"] == "(from --env-file)"
            assert "flask_app/" in " ".join(trial.commands["server"])
    assert any("no two answers" in note for note in ended.run.notes)
    assert [file.name for file in place.iterdir()] == ["database.py"]  # nothing is written there
    for file in tmp_path.glob("results/*/run.json"):
        assert "hunter2" not in file.read_text()
        assert "secret" not in file.read_text()


def environment_with_servers(folder: Path) -> Path:
    """Make a virtual environment that has what this one has, and return its interpreter."""
    venv.create(folder, symlinks=True)
    ours = Path(sys.prefix)
    (packages,) = folder.glob("lib/python*/site-packages")
    (own,) = ours.glob("lib/python*/site-packages")
    (packages / "shared.pth").write_text(f"{own}\n")
    (packages / "only_there.py").touch()
    for program in ("gunicorn", "uwsgi"):
        source = ours / "bin" / program
        target = folder / "bin" / program
        if source.read_bytes()[:2] == b"#!":
            text = source.read_text().replace(str(ours / "bin"), str(folder / "bin"))
            target.write_text(text)
            target.chmod(0o755)
        else:
            shutil.copy(source, target)  # it finds its environment by where it is
    return folder / "bin" / "python"


class TestRefusedBeforeAnythingStarts:
    def test_an_interpreter_without_the_servers(self, tmp_path: Path) -> None:
        venv.create(tmp_path / "venv", symlinks=True)
        place = write_app(tmp_path, "shop", "def app(environ, start_response): ...\n")
        python = str(tmp_path / "venv" / "bin" / "python")
        ended = run(
            *(tmp_path, "run", "gevent-uwsgi", "sync-gunicorn", *SMALL, "--app", "shop:app"),
            *("--app-dir", str(place), "--python", python),
        )
        assert ended.code == 2
        assert f"{python} -m pip install pyuwsgi gevent gunicorn" in ended.err
        assert not list(tmp_path.glob("results/*"))

    def test_a_variant_of_the_demos_modules(self, tmp_path: Path) -> None:
        place = write_app(tmp_path, "shop", FLASK)
        options = ("--app", "shop:app", "--app-dir", str(place))
        ended = run(tmp_path, "run", "gevent-uwsgi@urllib3", *SMALL, *options)
        assert ended.code == 2
        assert "replaces modules of the demo app" in ended.err + ended.out

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--method", "FE TCH"), "--method"),
            (("--method", "GET", "--body", "x"), "--body goes with --method POST"),
            (("--header", "no colon"), "write 'Name: value'"),
            (("--header", "A: b\r\nC: d"), "write 'Name: value'"),
            (("--expect-status", "302"), "could not be told from"),
            (("--body", "@/no/such/file"), "--body: /no/such/file cannot be read"),
            (("--url-path", "/a b"), "%20"),
            (("--python", "/no/python"), "--python"),
        ],
    )
    def test_what_cannot_be_asked_for(
        self, tmp_path: Path, options: tuple[str, ...], said: str
    ) -> None:
        ended = run(tmp_path, "run", "gevent-pywsgi", *SMALL, *options)
        assert ended.code == 2
        assert said in " ".join(ended.err.split())


class TestAnswersThatAreNoSuccess:
    TEXT = (
        f"{FLASK}from flask import abort, redirect\n"
        "@app.get('/old')\ndef old(): return redirect('/new')\n"
        "@app.get('/broken')\ndef broken(): 1 / 0\n"
        "@app.get('/fine')\ndef fine(): return 'fine'\n"
    )

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--url-path", "/old"), "status 302: it redirects to /new. Load that path instead"),
            (("--url-path", "/broken"), "status 500 instead of 200"),
            (("--url-path", "/missing"), "status 404 instead of 200"),
            (("--url-path", "/fine", "--method", "DELETE"), "status 405 instead of 200"),
            (("--url-path", "/fine", "--expect-status", "204"), "status 200 instead of 204"),
            (("--url-path", "/fine", "--expect-body", "good"), "the body is b'fine'"),
        ],
    )  # fmt: skip
    def test_they_are_said_at_once(
        self, tmp_path: Path, options: tuple[str, ...], said: str
    ) -> None:
        place = write_app(tmp_path, "shop", self.TEXT)
        own = ("--app", "shop:app", "--app-dir", str(place))
        ended = run(tmp_path, "run", "gevent-pywsgi", *SMALL, *own, *options)
        assert ended.code == 3
        (trial,) = ended.run.trials
        assert said in (trial.failure or "")
        assert trial.measurement is None


def test_a_head_request_has_no_body(tmp_path: Path) -> None:
    place = write_app(tmp_path, "shop", TestAnswersThatAreNoSuccess.TEXT)
    own = ("--app", "shop:app", "--app-dir", str(place), "--url-path", "/fine", "--method", "HEAD")
    ended = run(tmp_path, "run", "gevent-pywsgi", *SMALL, *own)
    assert ended.code == 0, ended.err
    (trial,) = ended.run.trials
    assert trial.verification is not None
    assert trial.verification.body_bytes == 0


def test_answers_that_differ_only_under_concurrency_are_wrong(tmp_path: Path) -> None:
    """Two answers that get mixed up are no "bodies that differ"."""
    text = (
        f"{FLASK}import time\nnow = []\n@app.get('/')\ndef index():\n"
        "    now.append(1)\n    time.sleep(0.05)\n    seen = len(now)\n    now.pop()\n"
        "    return 'alone' if seen == 1 else 'in company'\n"
    )
    place = write_app(tmp_path, "shop", text)
    own = ("--app", "shop:app", "--app-dir", str(place))
    ended = run(tmp_path, "run", "gevent-pywsgi", *SMALL, *own)
    assert ended.code == 3
    assert "the body is" in (ended.run.trials[0].failure or "")


def test_copied_beside_an_app_patched_py_is_all_it_needs(tmp_path: Path) -> None:
    place = write_app(tmp_path, "shop", FLASK)
    checkout = Path(__file__).resolve().parents[2]
    (place / "patched.py").write_bytes((checkout / "flask_app" / "patched.py").read_bytes())
    ended = subprocess.run(
        [sys.executable, "-c", "import patched, socket; print(socket.socket.__module__)"],
        cwd=place,
        env={"FLASK_APP": "shop:app", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout.startswith("gevent.")
