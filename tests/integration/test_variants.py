"""Every variant measures what it says: the changed deployment starts, and answers right."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from bench.catalog import load_catalog
from bench.errors import TrialError
from bench.model import Workload
from bench.own_app.app import OwnApp
from bench.processes.guardian import Guardian
from bench.runners import RunnerOptions
from bench.runners.local import SCRATCH, LocalRunner
from bench.services.nginx import find_nginx
from tests.integration.app_support import Stage, request
from tests.integration.harness import CHECKOUT, run

pytestmark = pytest.mark.integration

CATALOG = load_catalog()
DEMO = OwnApp("app:app", CHECKOUT / "flask_app")
SMALL = ("--workload", "busy", "--requests", "40", "--concurrency", "4")
NEEDS_MORE = {"fast-parser", "io-uring"}
"""Variants that want a package which is not installed, or a kernel that allows it."""
ONE_EACH = [
    next(f"{d.name}@{v.name}" for d in reversed([*CATALOG.deployments.values()]) if v.suits_to(d))
    for v in CATALOG.variants.values()
    if v.name not in NEEDS_MORE
]
TUTORIAL = [
    f"{name}@tutorial" for name in CATALOG.variants["tutorial"].commands if name != "devserver"
]
STARTED = sorted({name.replace("gevent-uwsgi-blocking", "sync-uwsgi") for name in ONE_EACH})


@pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")
def test_every_variant_gives_valid_trials(tmp_path: Path) -> None:
    names = dict.fromkeys([*STARTED, *TUTORIAL])
    ended = run(tmp_path, "run", *names, *SMALL)
    assert ended.code == 0, ended.err
    trials = {trial.deployment.name: trial for trial in ended.run.trials}
    assert set(trials) == set(names)
    for name, trial in trials.items():
        assert trial.valid, name
        for setting, value in trial.deployment.environment.items():
            assert SCRATCH in value or trial.environment[setting] == value


def test_a_variant_whose_package_is_missing_says_so(tmp_path: Path) -> None:
    ended = run(tmp_path, "run", "gevent-gunicorn@fast-parser", *SMALL)
    (trial,) = ended.run.trials
    if trial.valid:
        pytest.skip("gunicorn_h1c is installed here")
    assert ended.code == 3
    assert "gunicorn_h1c" in (trial.failure or "")


@pytest.fixture(name="runner")
def _runner(tmp_path: Path) -> Iterator[LocalRunner]:
    with Guardian() as guardian:
        options = RunnerOptions(CHECKOUT, tmp_path, guardian, DEMO)
        with LocalRunner(options) as runner:
            yield runner


@pytest.mark.parametrize(
    "name",
    [
        *("devserver", "gevent-pywsgi", "sync-gunicorn", "gevent-gunicorn"),
        *("sync-uwsgi", "gevent-uwsgi"),
    ],
)
def test_the_modules_of_an_overlay_are_the_ones_that_run(
    runner: LocalRunner, tmp_path: Path, name: str
) -> None:
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    (overlay / "http_client.py").write_text("raise ImportError('the one of the overlay')\n")
    deployment = replace(CATALOG.deployment(name), overlay=str(overlay), workers=1)
    hello: Workload = CATALOG.workload("hello")
    folder = tmp_path / "trial"
    folder.mkdir()
    with pytest.raises(TrialError, match="the one of the overlay"):
        runner.up(deployment, hello, folder).__enter__()


@pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")
@pytest.mark.parametrize("name", ["nginx-gunicorn", "nginx-uwsgi"])
def test_a_unix_socket_leaves_no_port_and_no_file(
    runner: LocalRunner, tmp_path: Path, name: str
) -> None:
    deployment = CATALOG.deployment(f"{name}@unix-socket")
    with runner.up(deployment, CATALOG.workload("hello"), tmp_path) as running:
        socket = Path(running.environment["BIND"].removeprefix("unix:"))
        assert socket.is_socket()
    assert not socket.parent.exists()


WSGI_APP = """
import io
from flask import Response, send_file, stream_with_context
from KIND import Flask

flask_app = Flask(__name__)
closed = []


@flask_app.get("/whole")
def whole():
    response = Response("whole")
    response.call_on_close(lambda: closed.append("whole"))
    return response


@flask_app.get("/parts")
def parts():
    return Response(iter(["one ", "two ", "three"]))


@flask_app.get("/measured-parts")
def measured_parts():
    return Response(iter(["one ", "two"]), headers={"Content-Length": "7"})


@flask_app.get("/text")
def text():
    return "text"


@flask_app.get("/nothing")
def nothing():
    return ""


@flask_app.get("/empty")
def empty():
    return "", 204


@flask_app.get("/file")
def file():
    return send_file(io.BytesIO(b"of a file"), mimetype="text/plain")


@flask_app.get("/large")
def large():
    return "x" * 100_000


@flask_app.get("/closed")
def seen():
    return ",".join(closed)


@flask_app.get("/error")
def error():
    raise RuntimeError
"""


@pytest.mark.parametrize("kind", ["flask", "lean_flask"])
@pytest.mark.parametrize("name", ["gevent-uwsgi", "gevent-gunicorn", "gevent-pywsgi"])
def test_bodies_arrive_as_they_are_meant(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "answers.py").write_text(WSGI_APP.replace("KIND", kind))
    with Guardian() as guardian, ExitStack() as stack:
        stage = Stage(tmp_path, guardian, stack)
        server = stage.serve(
            name,
            cwd=CHECKOUT / "flask_app",
            ready="/whole",
            FLASK_APP="answers:flask_app",
            PYTHONPATH=str(tmp_path),
        )
        for path, status, body in (
            ("/whole", 200, b"whole"),
            ("/parts", 200, b"one two three"),
            ("/measured-parts", 200, b"one two"),
            ("/text", 200, b"text"),
            ("/nothing", 200, b""),
            ("/empty", 204, b""),
            ("/file", 200, b"of a file"),
            ("/large", 200, b"x" * 100_000),
            ("/closed", 200, b"whole,whole"),  # once when it was asked whether it is ready
        ):
            answer = server.get(path)
            assert (answer.status, answer.body) == (status, body), path
        assert server.get("/error").status == 500
        head = request(server.port, "/whole", "HEAD")
        assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", "5")
