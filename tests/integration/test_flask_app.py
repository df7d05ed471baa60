"""What the app promises to a client, under the servers that people copy."""

import http.client
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil
import psycopg2
import pytest

from bench.catalog import load_catalog
from bench.processes.guardian import Guardian
from bench.processes.ports import free_port
from tests.integration.app_support import (
    BIN,
    BLOCKING,
    COMMANDS,
    FLASK_APP,
    ROOT,
    HeldApi,
    Postgres,
    Stage,
    accepts,
    eventually,
    postgres,
    request,
    requests,
)

pytestmark = pytest.mark.integration

ALL = sorted(COMMANDS)
SERVERS = [name for name in ALL if not name.startswith("devserver")]
# one whose requests are greenlets, one whose requests are threads
BOTH_KINDS = ["gevent-uwsgi", "sync-gunicorn"]
# The app's own client, and every other that is measured beside it: none is fast by being wrong.
OVERLAYS = sorted(
    ROOT / variant.overlay
    for variant in load_catalog().variants.values()
    # the tutorial's has no timeout, and shows what that means; others wrap the app as it is
    if variant.overlay and variant.name != "tutorial" and "FLASK_APP" not in variant.environment
)
CLIENTS = [
    *((name, FLASK_APP) for name in BOTH_KINDS),
    *(pytest.param("gevent-uwsgi", overlay, id=overlay.name) for overlay in OVERLAYS),
]

BODIES = {
    "/?delay=0": b"answered by the API\n",
    "/?delay=.001": b"answered by the API\n",
    "/?delay=1e-3&other=1": b"answered by the API\n",
    "/db?delay=0.01": b"answered by the API and the database\n",
    "/hello": b"hello\n",
    "/cpu?ms=0.5": b"computed\n",
    "/cpu": b"computed\n",
    "/healthz": b"healthy\n",
    "/readyz": b"ready\n",
}
BAD = ["x", "", "-1", "-0", "nan", "inf", "-inf", "1e999", "1_0", "%201", "0x1", "%D9%A1"]
COPIES = {
    "gevent-pywsgi": ["pywsgi.py"],
    "sync-gunicorn": ["gunicorn.conf.py"],
    "gevent-gunicorn": ["gunicorn_gevent.conf.py"],
    "sync-uwsgi": ["uwsgi.ini"],
    "gevent-uwsgi": ["uwsgi_gevent.ini", "patched.py"],
}
# An app made by a factory, that tells what has been patched in its process.
STATE = """
import socket
import psycopg2.extensions
import urllib3.util.ssl_
from flask import Flask


def create_app():
    app = Flask(__name__)

    @app.get("/state")
    def state():
        urllib3.util.ssl_.create_urllib3_context()  # a RecursionError where patched too late
        return {
            "socket": socket.socket.__module__.startswith("gevent"),
            "ssl": urllib3.util.ssl_.SSLContext.__module__.startswith("gevent"),
            "psycopg2": psycopg2.extensions.get_wait_callback() is not None,
        }

    return app
"""
PATCHED = {"socket": True, "ssl": True, "psycopg2": True}
UNPATCHED = {"socket": False, "ssl": False, "psycopg2": False}


@pytest.fixture(name="stage")
def _stage(tmp_path: Path) -> Iterator[Stage]:
    with Guardian() as guardian, ExitStack() as stack:
        yield Stage(tmp_path, guardian, stack)


@pytest.fixture(name="database", scope="module")
def _database() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.mark.parametrize("name", ALL)
def test_routes_and_bad_input(stage: Stage, database: Postgres, name: str) -> None:
    api = stage.api()
    url = f"http://127.0.0.1:{api.port}"
    server = stage.serve(name, API_URL=url, DATABASE_URL=database.get_uri())

    for path, body in BODIES.items():
        answer = server.get(path)
        assert (answer.status, answer.body) == (200, body), path
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    for path, parameter, most in (
        ("/", "delay", "30"),
        ("/db", "delay", "30"),
        ("/cpu", "ms", "10000"),
    ):
        for value in [*BAD, f"{most}.001", f"1&{parameter}=1"]:
            answer = server.get(f"{path}?{parameter}={value}")
            assert answer.status == 400, (path, value)
            assert f"{parameter} must be one number from 0 to {most}" in answer.json()["error"]
    assert server.get("/nowhere").status == 404
    assert request(server.port, "/hello", "POST").status == 405
    assert request(server.port, "/hello", "HEAD").body == b""
    assert "Traceback" not in server.log()


@pytest.mark.parametrize(("name", "client"), CLIENTS)
def test_an_api_that_goes_and_comes_back(stage: Stage, name: str, client: Path) -> None:
    port = free_port()
    server = stage.serve(
        name, cwd=client, PYTHONPATH=str(FLASK_APP), API_URL=f"http://127.0.0.1:{port}"
    )

    down = server.get("/?delay=0")
    assert (down.status, down.json()) == (502, {"error": "the API is down"})
    ready = server.get("/readyz")
    assert (ready.status, ready.json()["down"]) == (503, ["api"])
    assert ready.headers["Retry-After"] == "1"
    for _ in range(2):  # the second time with kept-alive connections that have died
        api = stage.api(port)
        answers = requests(server.port, "/?delay=0", 30)
        assert [each.status for each in answers] == [200] * 30
        api.process.stop()
        assert server.get("/?delay=0").status == 502
    assert server.get("/healthz").status == 200


@pytest.mark.parametrize(("name", "client"), CLIENTS)
def test_an_api_that_hangs_or_answers_nonsense(stage: Stage, name: str, client: Path) -> None:
    with HeldApi().running() as api:
        url = f"http://127.0.0.1:{api.port}/prefix"
        server = stage.serve(
            name, cwd=client, PYTHONPATH=str(FLASK_APP), API_URL=url, API_TIMEOUT="0.3"
        )

        slow = server.get("/?delay=0")
        assert (slow.status, slow.json()) == (504, {"error": "the API took too long"})
        assert api.seen == 1, "a request that timed out was sent again"
        api.release.set()
        assert server.get("/?delay=0").status == 200
        for status in (500, 404, 302, 204):
            api.status = status
            assert server.get("/?delay=0").status == 502


@pytest.mark.parametrize("name", BOTH_KINDS)
def test_a_database_that_goes_and_comes_back(stage: Stage, database: Postgres, name: str) -> None:
    url = f"http://127.0.0.1:{stage.api().port}"
    server = stage.serve(name, API_URL=url, DATABASE_URL=database.get_uri(), DB_POOL_SIZE="5")
    assert {each.status for each in requests(server.port, "/db?delay=0.1", 30)} == {200}

    database.stop()
    try:
        down = server.get("/db?delay=0")
        assert (down.status, down.json()) == (503, {"error": "the database is down"})
        assert down.headers["Retry-After"] == "1"
        assert server.get("/readyz").json()["down"] == ["database"]
        assert server.get("/?delay=0").status == 200
    finally:
        database.start()
    assert {each.status for each in requests(server.port, "/db?delay=0", 30)} == {200}

    # restarted while nobody asked: every pooled connection has died idle
    assert {each.status for each in requests(server.port, "/db?delay=0.1", 30)} == {200}
    database.stop()
    database.start()
    assert {each.status for each in requests(server.port, "/db?delay=0", 30)} == {200}


@pytest.mark.parametrize("name", BOTH_KINDS)
def test_a_pool_that_is_too_small(stage: Stage, database: Postgres, name: str) -> None:
    url = f"http://127.0.0.1:{stage.api().port}"
    server = stage.serve(
        name,
        API_URL=url,
        DATABASE_URL=database.get_uri(),
        DB_POOL_SIZE="2",
        DB_POOL_WAIT="0.2",
    )

    answers = requests(server.port, "/db?delay=2", 6)
    assert sorted(each.status for each in answers) == [200, 200, 503, 503, 503, 503]
    refused = next(each for each in answers if each.status == 503)
    assert refused.json() == {"error": "all database connections are in use"}
    assert refused.headers["Retry-After"] == "1"
    assert server.get("/db?delay=0").status == 200

    with psycopg2.connect(database.get_uri()) as watcher, watcher.cursor() as cursor:
        cursor.execute(
            "SELECT state FROM pg_stat_activity WHERE client_port IS NOT NULL"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        assert cursor.fetchall() == [("idle",), ("idle",)], "kept, and no transaction left open"
    watcher.close()


def test_no_database_is_configured(stage: Stage) -> None:
    server = stage.serve("gevent-pywsgi", API_URL=f"http://127.0.0.1:{stage.api().port}")

    answer = server.get("/db?delay=0")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json() == {"error": "no database is configured: DATABASE_URL is not set"}
    assert server.get("/readyz").status == 200


def test_a_statement_that_takes_too_long(stage: Stage, database: Postgres) -> None:
    url = f"http://127.0.0.1:{stage.api().port}"
    server = stage.serve(
        "sync-gunicorn", API_URL=url, DATABASE_URL=database.get_uri(), DB_TIMEOUT="0.1"
    )

    answer = server.get("/db?delay=1")
    assert (answer.status, answer.json()) == (503, {"error": "the database took too long"})
    assert server.get("/db?delay=0").status == 200


@pytest.mark.parametrize("name", sorted(COPIES))
def test_copied_alone_it_serves_another_app(stage: Stage, tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "other.py").write_text(STATE)
    for each in COPIES[name]:
        shutil.copy(FLASK_APP / each, home)

    server = stage.serve(name, here=home, ready="/state", FLASK_APP="other:create_app()")

    assert server.get("/state").json() == (PATCHED if name.startswith("gevent") else UNPATCHED)


@pytest.mark.parametrize("name", ALL)
def test_an_app_elsewhere_goes_before_the_one_beside_the_config(
    stage: Stage, tmp_path: Path, name: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "app.py").write_text(STATE)

    server = stage.serve(
        name, cwd=home, ready="/state", FLASK_APP="app:create_app()", PYTHONPATH=str(FLASK_APP)
    )

    assert server.get("/state").json() == (PATCHED if name.startswith("gevent") else UNPATCHED)


@pytest.mark.parametrize(
    ("command", "state"),
    [
        ((*COMMANDS["gevent-gunicorn"], "--preload"), PATCHED),
        ((f"{BIN}/gunicorn", "-k", "gevent", "-b", "127.0.0.1:{port}", "patched:app"), PATCHED),
        (BLOCKING, PATCHED | {"psycopg2": False}),
    ],
    ids=["preload", "patched", "blocking"],
)
def test_what_is_patched(
    stage: Stage, tmp_path: Path, command: tuple[str, ...], state: dict[str, bool]
) -> None:
    (tmp_path / "other.py").write_text(STATE)

    server = stage.serve(
        command,
        cwd=tmp_path,
        ready="/state",
        FLASK_APP="other:create_app()",
        PYTHONPATH=str(FLASK_APP),
    )

    assert server.get("/state").json() == state


@pytest.mark.parametrize("name", SERVERS)
def test_sigterm_finishes_what_is_in_flight(stage: Stage, name: str) -> None:
    count = 20
    with HeldApi().running() as api, ThreadPoolExecutor(count) as pool:
        server = stage.serve(name, API_URL=f"http://127.0.0.1:{api.port}", WORKERS="2")
        answers = [pool.submit(server.get, "/") for _ in range(count)]
        eventually(lambda: api.seen == count, "all requests are in flight")
        server.term()
        # pywsgi closes its listener, the others leave it open and say that they are stopping
        said = ("killing workers", "Handling signal: term")
        eventually(
            lambda: any(words in server.log() for words in said) or not accepts(server.port),
            "it is stopping",
        )
        api.release.set()

        assert [each.result().status for each in answers] == [200] * count
        eventually(lambda: not server.process.is_running(), "it has exited")
    assert server.process.returncode == 0
    assert not accepts(server.port)


@pytest.mark.parametrize("name", ALL)
def test_an_app_that_does_not_import(stage: Stage, tmp_path: Path, name: str) -> None:
    (tmp_path / "broken.py").write_text("import no_such_module\n")

    server = stage.serve(
        name, cwd=tmp_path, ready=None, FLASK_APP="broken:app", PYTHONPATH=str(FLASK_APP)
    )

    assert server.process.wait(20) not in (None, 0)
    assert "No module named 'no_such_module'" in server.log()


@pytest.mark.parametrize("name", ["sync-uwsgi", "gevent-uwsgi"])
def test_uwsgi_stops_while_the_app_is_still_importing(
    stage: Stage, tmp_path: Path, name: str
) -> None:
    (tmp_path / "sleepy.py").write_text(
        "print('importing', flush=True)\nimport time\ntime.sleep(60)\n"
    )

    server = stage.serve(
        name, cwd=tmp_path, ready=None, FLASK_APP="sleepy:app", PYTHONPATH=str(FLASK_APP)
    )
    eventually(lambda: "importing" in server.log(), "the app is being imported")
    server.term()

    assert server.process.wait(10) == 0


def test_pywsgi_ends_kept_alive_connections(stage: Stage, tmp_path: Path) -> None:
    text = (FLASK_APP / "pywsgi.py").read_text()
    assert "KEEPALIVE = 30" in text
    (tmp_path / "pywsgi.py").write_text(text.replace("KEEPALIVE = 30", "KEEPALIVE = 2"))
    server = stage.serve("gevent-pywsgi", here=tmp_path, cwd=FLASK_APP)
    idle, busy = (
        http.client.HTTPConnection("127.0.0.1", server.port, timeout=30) for _ in range(2)
    )
    idle.request("GET", "/healthz")
    idle.getresponse().read()
    busy.request("GET", "/cpu?ms=1")
    busy.getresponse().read()
    server.term()
    eventually(lambda: not accepts(server.port), "it is stopping")
    busy.request("GET", "/healthz")
    last = busy.getresponse()
    last.read()

    assert (last.status, last.getheader("Connection")) == (200, "close")
    assert idle.sock.recv(1) == b""
    idle.close()
    assert server.process.wait(10) == 0


def test_the_slow_api_checks_its_input(stage: Stage) -> None:
    api = stage.api()

    assert api.get("/?delay=0").body == b"slept\n"
    for value in [*BAD, "30.001", "1&delay=1"]:
        answer = request(api.port, f"/?delay={value}")
        assert answer.status == 400, value
        assert answer.headers["Content-Type"].startswith("application/json")
    assert api.get("/nowhere").status == 404


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_slow_api_leaves_no_process(stage: Stage, how: int) -> None:
    api = stage.api(API_WORKERS="3")
    # one of them answers before the last is there
    eventually(lambda: len(psutil.Process(api.process.pid).children()) == 3, "three processes")
    children = psutil.Process(api.process.pid).children()

    os.kill(api.process.pid, how)

    eventually(lambda: not any(map(psutil.pid_exists, (each.pid for each in children))), "all gone")
    assert not accepts(api.port)


def test_the_slow_api_ends_with_any_of_its_processes(stage: Stage) -> None:
    api = stage.api(API_WORKERS="2")

    psutil.Process(api.process.pid).children()[0].kill()

    assert api.process.wait(10) == 1


def test_the_slow_api_does_not_share_a_port(stage: Stage) -> None:
    api = stage.api()
    second = stage.start(
        "second", api.process.command, {"BIND": f"127.0.0.1:{api.port}"}, stage.folder
    )

    assert second.wait(10) == 1
    assert "Address already in use" in second.log.read_text()
