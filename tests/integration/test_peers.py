"""The peers do the same work as the Flask app, so that they can be compared with it."""

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from bench.catalog import load_catalog
from bench.model import Deployment
from bench.processes import family
from bench.processes.guardian import Guardian
from bench.processes.ports import free_port
from tests.integration.app_support import (
    BIN,
    FLASK_APP,
    ROOT,
    Answer,
    HeldApi,
    Server,
    Stage,
    accepts,
    eventually,
    requests,
)

pytestmark = pytest.mark.integration

PEERS = [each for each in load_catalog().deployments.values() if each.group == "peers"]
FOLDER = ROOT / "peers"
WORKERS = 2
SAID_BY_WORKERS = {"sanic": "Worker ready", "granian": "] Started worker-"}

BODIES = {
    "/?delay=0": b"answered by the API\n",
    "/?delay=.001": b"answered by the API\n",
    "/?delay=1e-3&other=1": b"answered by the API\n",
    "/hello": b"hello\n",
    "/healthz": b"healthy\n",
}
BAD = [
    *("x", "", "-1", "-0", "nan", "inf", "-inf", "1e999", "1_0", "%201", "0x1", "%D9%A1"),
    *("30.001", "1&delay=1"),
]


class Serve(Protocol):
    """Starts the peer by the catalog's command, for an API at this URL."""

    def __call__(self, url: str, *, timeout: float = 30) -> Server: ...


@pytest.fixture(name="stage")
def _stage(tmp_path: Path) -> Iterator[Stage]:
    with Guardian() as guardian, ExitStack() as stack:
        yield Stage(tmp_path, guardian, stack)


@pytest.fixture(name="peer", params=PEERS, ids=lambda peer: peer.name)
def _peer(request: pytest.FixtureRequest) -> Deployment:
    peer: Deployment = request.param
    return peer


@pytest.fixture(name="serve")
def _serve(stage: Stage, peer: Deployment) -> Serve:
    def serve(url: str, *, timeout: float = 30) -> Server:
        port = free_port()
        settings = {"workers": WORKERS, "threads": peer.threads, "backlog": peer.backlog}
        filled = {
            **{name: str(value) for name, value in settings.items()},
            "python": sys.executable,
            "flask_app": str(FLASK_APP),
            "peers": str(FOLDER),
            "host": "127.0.0.1",
            "port": str(port),
        }
        program, *arguments = (word.format_map(filled) for word in peer.command)
        beside_python = BIN / program
        command = (str(beside_python) if beside_python.exists() else program, *arguments)
        environment = {
            "PYTHONPATH": f"{FLASK_APP}:{FOLDER}",
            "BIND": f"127.0.0.1:{port}",
            **{name.upper(): str(value) for name, value in settings.items() if value},
            "API_URL": url,
            "API_TIMEOUT": f"{timeout:g}",
            **peer.environment,
        }
        server = Server(stage.start("server", command, environment, FLASK_APP), port)
        stage.wait(server, "/healthz")
        wait_until_it_can_be_stopped(server, peer)
        return server

    return serve


def test_routes_and_bad_input(stage: Stage, serve: Serve) -> None:
    server = serve(f"http://127.0.0.1:{stage.api().port}")

    for path, body in BODIES.items():
        answer = server.get(path)
        assert (answer.status, answer.body) == (200, body), path
        assert content_type(answer) == "text/plain; charset=utf-8"
    for value in BAD:
        answer = server.get(f"/?delay={value}")
        assert answer.status == 400, value
        assert error(answer) == "delay must be one number from 0 to 30, as in delay=1"
    assert server.get("/nowhere").status == 404
    assert "Traceback" not in server.log()


def test_nothing_is_logged_per_request(stage: Stage, serve: Serve) -> None:
    server = serve(f"http://127.0.0.1:{stage.api().port}")

    for _ in range(20):
        assert server.get("/hello").status == 200
        assert server.get("/?delay=0").status == 200

    assert "/hello" not in server.log()
    assert "GET" not in server.log()


def test_an_api_that_goes_and_comes_back(stage: Stage, serve: Serve) -> None:
    port = free_port()
    server = serve(f"http://127.0.0.1:{port}")

    for _ in range(2):  # the second time with kept-alive connections that have died
        down = server.get("/?delay=0")
        assert (down.status, error(down)) == (502, "the API is down")
        api = stage.api(port)
        answers = requests(server.port, "/?delay=0", 30)
        assert [each.status for each in answers] == [200] * 30
        api.process.stop()
    assert server.get("/healthz").status == 200


def test_an_api_that_hangs_or_fails(serve: Serve) -> None:
    with HeldApi().running() as api:
        server = serve(f"http://127.0.0.1:{api.port}/prefix", timeout=1)

        slow = server.get("/?delay=0")
        assert (slow.status, error(slow)) == (504, "the API took too long")
        assert api.seen == 1, "a request that timed out was sent again"
        api.release.set()
        for status, expected in ((200, 200), (500, 502), (404, 502), (302, 502)):
            api.status = status
            assert server.get("/?delay=0").status == expected, status


def test_many_are_served_together(peer: Deployment, serve: Serve) -> None:
    count = 50
    # Granian starts a thread when a request comes, and not always when one is needed: it may
    # count a thread as idle that has just taken another request (BlockingRunnerPool.run)
    together = count // 2 if peer.server == "granian" and peer.threads else count
    with HeldApi().running() as api, ThreadPoolExecutor(1) as pool:
        server = serve(f"http://127.0.0.1:{api.port}")
        answers = pool.submit(requests, server.port, "/?delay=0.3", count)
        try:
            # the API answers none of them before they have come
            eventually(lambda: api.seen >= together, f"{together} requests wait for the API")
        finally:
            api.release.set()

        assert {(each.status, each.body) for each in answers.result()} == {
            (200, b"answered by the API\n")
        }
        assert api.seen == count


def test_it_leaves_no_process(peer: Deployment, serve: Serve) -> None:
    server = serve("http://127.0.0.1:1")
    processes = 1 + WORKERS if peer.workers else 1
    session = (server.process.pid,)
    # one worker answers before the last is there
    eventually(lambda: len(family.find(session)) >= processes, "all processes are there")
    before = family.find(session)
    server.term()

    eventually(lambda: not server.process.is_running(), "it has exited")
    eventually(lambda: not any(map(family.is_alive, before)), "all are gone")
    assert not family.find(session)
    assert not accepts(server.port)


def wait_until_it_can_be_stopped(server: Server, peer: Deployment) -> None:
    """Wait until every worker says that it is up: the first one answers before that.

    On a SIGTERM any earlier Sanic stops its workers and then waits for them to start, for ever
    (sanic#2997), and Granian waits for a worker to which the signal came before its handler.
    """
    if words := SAID_BY_WORKERS.get(peer.server):
        eventually(lambda: server.log().count(words) == WORKERS, "all workers are up")
    if peer.server == "sanic":
        time.sleep(0.5)  # its manager looks for them every 0.1 s, and does not tell


def content_type(answer: Answer) -> str:
    """Return the header's value; some of these servers write its name in lower case."""
    return {name.lower(): value for name, value in answer.headers.items()}["content-type"]


def error(answer: Answer) -> str:
    assert content_type(answer) == "application/json"
    text: str = json.loads(answer.body)["error"]
    return text
