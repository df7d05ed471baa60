"""Bounds, metrics and access log around an app, under the servers that people copy."""

import http.client
import json
import os
import re
import socket
import struct
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.processes.guardian import Guardian
from bench.processes.ports import free_port
from tests.integration.app_support import (
    COMMANDS,
    FLASK_APP,
    Answer,
    HeldApi,
    Postgres,
    Server,
    Stage,
    eventually,
    postgres,
    request,
    requests,
)

pytestmark = pytest.mark.integration

GEVENT = ["gevent-pywsgi", "gevent-gunicorn", "gevent-uwsgi"]
SYNC = ["sync-gunicorn", "sync-uwsgi"]
# the caller's, too: prometheus-client may come from there
PYTHONPATH = os.pathsep.join(filter(None, [str(FLASK_APP), os.environ.get("PYTHONPATH")]))
WORKERS = ["gevent-gunicorn", "gevent-uwsgi", "sync-gunicorn", "sync-uwsgi"]

# One slot, so that a slot that is not given back is seen at once. With ?timed half a second, too.
BOUNDED = """
import http.client
import os
import sys
import time
from flask import Flask, Response, request, send_file

from access_log import AccessLog
from bounds import Bounds

app = Flask(__name__)
GEVENT = "gevent.monkey" in sys.modules


def wait_for_release():
    client = http.client.HTTPConnection("127.0.0.1", int(os.environ["HELD"]))
    try:
        client.request("GET", "/")
        client.getresponse().read()
    finally:
        client.close()


def kill():
    import gevent

    gevent.spawn_later(0.01, gevent.getcurrent().kill)
    gevent.sleep(60)


@app.get("/healthz")
@app.get("/hello")
def hello():
    return "hello"


@app.post("/hello")
def post():
    return str(len(request.get_data()))


@app.get("/hold")
def hold():
    wait_for_release()
    return "held"


@app.get("/parts")
def parts():
    return Response(iter(["one ", "two"]))


@app.get("/stream")
def stream():
    def parts():
        yield "one "
        wait_for_release()
        yield "two"

    return Response(parts())


@app.get("/late-stream")
def late_stream():
    def parts():
        wait_for_release()
        yield "late"

    return Response(parts(), headers={"X-Of": "the stream"})


@app.get("/endless")
def endless():
    def parts():
        while True:
            yield "x" * 1000
            time.sleep(0.005)

    return Response(parts())


@app.get("/empty")
def empty():
    return "", 204


@app.get("/file")
def file():
    return send_file(__file__)


@app.get("/error")
def error():
    raise RuntimeError("meant to fail")


@app.get("/broken")
def broken():
    def parts():
        yield "one"
        raise RuntimeError("meant to fail")

    return Response(parts())


@app.get("/killed")
def killed():
    kill()


@app.get("/killed-stream")
def killed_stream():
    def parts():
        yield "one"
        kill()

    return Response(parts())


@app.get("/own-timeout")
def own_timeout():
    import gevent

    with gevent.Timeout(0.01, False):
        gevent.sleep(60)
        return "never"
    return "my own"


@app.get("/query/<float:seconds>")
def query(seconds):
    import database

    database.sleep(seconds)
    return "asked"


flask_app = app.wsgi_app


def inner(environ, start_response):
    text = [("Content-Type", "text/plain")]
    if environ["PATH_INFO"] == "/written":
        start_response("200 OK", [*text, ("Content-Length", "7")])(b"written")
        return []
    if environ["PATH_INFO"] == "/late-start":
        return late_start(start_response, text)
    return flask_app(environ, start_response)


def late_start(start_response, headers):
    start_response("200 OK", [*headers, ("Content-Length", "4")])
    yield b"late"


plain = Bounds(inner, at_once=1)
timed = Bounds(inner, at_once=1, seconds=0.5) if GEVENT else None


def front(environ, start_response):
    chosen = timed if environ.get("QUERY_STRING") == "timed" else plain
    return chosen(environ, start_response)


app.wsgi_app = AccessLog(front, stream="stdout", style="json")
"""


@pytest.fixture(name="stage")
def _stage(tmp_path: Path) -> Iterator[Stage]:
    with Guardian() as guardian, ExitStack() as stack:
        yield Stage(tmp_path, guardian, stack)


@pytest.fixture(name="database", scope="module")
def _database() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture(name="api")
def _api() -> Iterator[HeldApi]:
    with HeldApi().running() as api:
        yield api


def serve(stage: Stage, name: str | tuple[str, ...], text: str, **environment: Any) -> Server:
    (stage.folder / "shop.py").write_text(text)
    return stage.serve(
        name,
        cwd=stage.folder,
        FLASK_APP="shop:app",
        PYTHONPATH=PYTHONPATH,
        **environment,
    )


def ask(server: Server, path: str, method: str = "GET") -> Answer:
    """Ask until there is a slot: that of the request before is free a moment after its answer."""
    answers = []

    def answered() -> bool:
        answers.append(request(server.port, path, method))
        return answers[-1].status != 503

    eventually(answered, f"a slot for {path}")
    return answers[-1]


def went_wrong(server: Server, path: str) -> None:
    """Ask for what may be answered by anything, or by nothing."""
    ask(server, "/hello")
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    with suppress(OSError, http.client.HTTPException):
        # gunicorn would wait for the next request on the connection of one that was killed
        client.request("GET", path, headers={"Connection": "close"})
        client.getresponse().read()
    client.close()


@dataclass
class Line:
    """What the access log says of one request."""

    method: str
    path: str
    status: int
    bytes: int
    seconds: float
    id: str
    remote: str
    time: str
    outcome: str = ""


def lines(server: Server) -> list[Line]:
    found = []
    for line in server.log().splitlines():
        with suppress(ValueError):
            content: Any = json.loads(line)
            if isinstance(content, dict) and "seconds" in content:
                found.append(Line(**content))
    return found


def logged(server: Server, path: str, status: int) -> Line:
    def found() -> list[Line]:
        return [line for line in lines(server) if (line.path, line.status) == (path, status)]

    eventually(lambda: bool(found()), f"a line of {path} with {status}")
    return found()[0]


@pytest.mark.parametrize("name", [*GEVENT, *SYNC])
def test_one_slot(stage: Stage, api: HeldApi, name: str) -> None:
    server = serve(stage, name, BOUNDED, HELD=str(api.port))

    with ThreadPoolExecutor() as pool:
        held = pool.submit(ask, server, "/hold")
        eventually(lambda: api.seen == 1, "the slot is taken")
        refused = server.get("/hello")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert refused.json() == {"error": "too many requests at once"}
        head = request(server.port, "/hello", "HEAD")
        assert (head.status, head.body) == (503, b"")
        assert post(server, "/hello", b"unread" * 100) == 503
        assert server.get("/healthz").status == 200
        api.release.set()
        assert held.result().body == b"held"

    text = (stage.folder / "shop.py").read_bytes()
    for _ in range(2):
        for path, body in (
            ("/hello", b"hello"),
            ("/parts", b"one two"),
            ("/stream", b"one two"),
            ("/late-stream", b"late"),
            ("/file", text),
            ("/written", b"written"),
            ("/late-start", b"late"),
        ):
            answer = ask(server, path)
            assert (answer.status, answer.body) == (200, body), path
            assert answer.headers["X-Request-ID"]
        assert ask(server, "/parts", "HEAD").body == b""
        assert ask(server, "/file", "HEAD").body == b""
        assert ask(server, "/empty").status == 204
        assert ask(server, "/error").status == 500
        assert ask(server, "/nowhere").status == 404
        went_wrong(server, "/broken")
        leave_in_the_middle(server)
        if name in GEVENT:
            went_wrong(server, "/killed")
            went_wrong(server, "/killed-stream")
    assert ask(server, "/hello").body == b"hello"

    assert logged(server, "/hello", 503).outcome == "refused"
    assert logged(server, "/hold", 200).bytes == 4
    for path, status, size in (("/parts", 200, 7), ("/file", 200, len(text)), ("/written", 200, 7)):
        line = logged(server, path, status)
        assert (line.method, line.remote, line.bytes) == ("GET", "127.0.0.1", size)
        assert 0 < line.seconds < 30
    assert logged(server, "/endless", 200).bytes >= 1000
    assert logged(server, "/broken", 200).bytes == 3
    if name in GEVENT:
        assert logged(server, "/killed", 500).bytes == 0
        assert logged(server, "/killed-stream", 200).bytes == 3


def post(server: Server, path: str, body: bytes) -> int:
    """Return the status; a *large* body that nobody reads may end in a reset instead."""
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        client.request("POST", path, body)
        return client.getresponse().status
    finally:
        client.close()


def leave_in_the_middle(server: Server) -> None:
    """Go away without a word while a response without an end is under way."""
    ask(server, "/hello")
    answered = []

    def begun() -> bool:
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
            # a reset, not a polite close: a client that has lost its power looks like this at best
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
            answered.append(client.recv(20))
            return b" 200 " in answered[-1]

    eventually(begun, "a slot for /endless")


@pytest.mark.parametrize("name", GEVENT)
def test_half_a_second(stage: Stage, api: HeldApi, database: Postgres, name: str) -> None:
    server = serve(
        stage,
        name,
        BOUNDED,
        HELD=str(api.port),
        DATABASE_URL=database.get_uri(),
        DB_POOL_SIZE="1",
    )

    for path in ("/hold", "/late-stream", "/hold"):  # with the slot of the one before
        late = ask(server, f"{path}?timed")
        assert (late.status, late.json()) == (504, {"error": "the request took too long"})
        assert "X-Of" not in late.headers
        assert late.headers["Content-Type"] == "application/json"
    assert ask(server, "/hold?timed", "HEAD").body == b""
    assert ask(server, "/hello?timed").status == 200
    assert ask(server, "/own-timeout?timed").body == b"my own"
    assert logged(server, "/hold", 504).outcome == "timeout"

    assert cut_off(server, "/stream?timed") == b"one "

    # a connection that was in the middle of a query goes to nobody else: there is only this one
    for _ in range(2):
        assert ask(server, "/query/30.0?timed").status == 504
        assert ask(server, "/query/0.0?timed").body == b"asked"
    api.release.set()
    assert ask(server, "/hold?timed").body == b"held"
    assert ask(server, "/stream?timed").body == b"one two"


def cut_off(server: Server, path: str) -> bytes:
    """Return the part that came of a response that is cut."""
    ask(server, "/hello?timed")
    if "uwsgi" in server.process.command[0]:
        return ask(server, path).body  # the end of the connection is the end of the response
    with pytest.raises(http.client.IncompleteRead) as seen:
        ask(server, path)
    return seen.value.partial


def test_no_time_is_promised_to_threads(stage: Stage) -> None:
    overlay = FLASK_APP.parent / "bench/variants/bounds"
    server = stage.serve(
        "sync-gunicorn",
        cwd=overlay,
        ready=None,
        PYTHONPATH=str(FLASK_APP),
        FLASK_APP="bounded:app",
        REQUEST_TIMEOUT="1",
    )
    assert server.process.wait(20) not in (None, 0)
    assert "REQUEST_TIMEOUT needs gevent" in server.log()


def test_each_worker_has_its_own_slots_after_a_fork(stage: Stage, api: HeldApi) -> None:
    command = (*COMMANDS["gevent-gunicorn"], "--preload")
    server = serve(stage, command, BOUNDED, HELD=str(api.port), WORKERS="2")

    with ThreadPoolExecutor() as pool:
        held: list[Future[Answer]] = []

        def both_are_taken() -> bool:
            if api.seen < 2:
                held.append(pool.submit(server.get, "/hold"))
            return api.seen == 2

        eventually(both_are_taken, "both workers have a request")
        assert {answer.status for answer in requests(server.port, "/hello", 10)} == {503}
        api.release.set()
        assert sorted(each.result().status for each in held)[:2] == [200, 200]
    eventually(
        lambda: {answer.status for answer in requests(server.port, "/hello", 2)} == {200},
        "both workers are free",
    )


COUNTED = """
import http.client
import os
from flask import Flask

from metrics import Metrics

app = Flask(__name__)


@app.get("/healthz")
def healthz():
    return "healthy"


@app.get("/orders/<int:number>")
def order(number):
    return str(number)


@app.get("/hold")
def hold():
    client = http.client.HTTPConnection("127.0.0.1", int(os.environ["HELD"]))
    client.request("GET", "/")
    client.getresponse().read()
    return "held"


app.wsgi_app = Metrics(app.wsgi_app, flask=app, path="/metrics")
"""


def metric(text: bytes, name: str) -> float:
    """Return the sum over all series whose name and labels begin like this."""
    found = re.findall(rf"^{re.escape(name)}.* (\S+)$", text.decode(), re.MULTILINE)
    return sum(map(float, found))


ORDERS = 'http_requests_total{method="GET",route="/orders/<int:number>",status="2xx"}'


def commands_with_clearing(stage: Stage, name: str) -> tuple[str, ...]:
    """Return the deployment as docs/bounds.md has it: the folder is cleared when it starts."""
    program, option, config = COMMANDS[name]
    if "uwsgi" in name:
        clear = f"{sys.executable} {FLASK_APP / 'metrics.py'} clear"
        return (program, option, config, "--exec-asap", clear)
    original = FLASK_APP / Path(config).name
    changed = stage.folder / original.name
    changed.write_text(original.read_text() + "\nfrom metrics import on_starting\n")
    return (program, option, str(changed))


@pytest.mark.parametrize("name", WORKERS)
def test_no_worker_takes_its_counts_with_it(stage: Stage, api: HeldApi, name: str) -> None:
    pytest.importorskip("prometheus_client")
    folder = stage.folder / "metrics"
    command = commands_with_clearing(stage, name)
    settings = {
        "HELD": str(api.port),
        "PROMETHEUS_MULTIPROC_DIR": str(folder),
        "WORKERS": "2",
    }
    server = serve(stage, command, COUNTED, **settings)

    def shown(metric_name: str) -> float:
        return metric(server.get("/metrics").body, metric_name)

    assert {each.status for each in requests(server.port, "/orders/7", 20)} == {200}
    eventually(lambda: shown(ORDERS) == 20, "all workers' requests are counted")
    assert shown("http_request_duration_seconds_count") >= 20

    with ThreadPoolExecutor() as pool:
        for _ in range(6):
            pool.submit(server.get, "/hold")
        eventually(lambda: api.seen == 6, "six are in flight")
        assert shown("http_requests_in_flight") == 6
        workers = psutil.Process(server.process.pid).children()
        for worker in workers:
            worker.kill()
        # until then one may still take a request
        assert psutil.wait_procs(workers, timeout=30)[1] == []
    stage.wait(server, "/healthz")

    eventually(lambda: shown("http_requests_in_flight") == 0, "the dead are forgotten")
    assert shown(ORDERS) == 20
    assert {each.status for each in requests(server.port, "/orders/8", 10)} == {200}
    eventually(lambda: shown(ORDERS) == 30, "the new workers' are added")

    if name == "gevent-uwsgi":
        port = free_port()
        beside = (sys.executable, str(FLASK_APP / "metrics.py"), "serve", f"127.0.0.1:{port}")
        given = settings | {"PYTHONPATH": PYTHONPATH}
        exporter = Server(stage.start("exporter", beside, given, stage.folder), port)
        stage.wait(exporter, "/metrics")
        assert metric(exporter.get("/metrics").body, ORDERS) == 30
    server.process.stop()

    again = serve(stage, command, COUNTED, **settings)
    assert metric(again.get("/metrics").body, ORDERS) == 0


def test_one_worker_of_several_does_not_pass_for_all(stage: Stage) -> None:
    pytest.importorskip("prometheus_client")
    server = serve(stage, "gevent-uwsgi", COUNTED, HELD="0", WORKERS="2")
    answer = server.get("/metrics")
    assert answer.status == 500
    assert b"set PROMETHEUS_MULTIPROC_DIR" in answer.body
