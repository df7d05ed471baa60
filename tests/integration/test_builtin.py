"""The built-in load client: against a server with bad manners, and against real ones."""

import csv
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from bench.analysis.ceiling import ceiling
from bench.errors import ExitCode, TrialError
from bench.load.builtin import Builtin
from bench.load.builtin_client import LINGERING
from bench.model import Ask, Load, Measurement, Request
from tests.integration.harness import DEADLINE, run, write_app
from tests.integration.manners import Manners

pytestmark = pytest.mark.integration


@pytest.fixture
def server() -> Iterator[Manners]:
    manners = Manners()
    yield manners
    manners.close()


def loaded(folder: Path, load: Load, *asks: Ask, timeout: float = 30.0) -> Measurement:
    return Builtin().run(asks, load, folder=folder, timeout=timeout)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "builtin.tsv").open(newline="") as text:
        return list(csv.DictReader(text, delimiter="\t"))


def clients() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [p for p in children if "bench.load.builtin_client" in p.cmdline()]


def test_a_mix_has_exactly_its_shares(server: Manners, tmp_path: Path) -> None:
    told: list[float] = []
    asks = (Ask(f"{server.url}/hello", weight=3), Ask(f"{server.url}/hello/2?a=b", weight=1))

    result = Builtin().run(
        asks, Load(20, requests=1000), folder=tmp_path, timeout=30, progress=told.append
    )

    assert not any(result.failures.values())
    assert (result.requests, result.body_bytes) == (1000, 6)
    assert [part.requests for part in result.mix] == [750, 250]
    assert all(part.latency and part.latency.p50 > 0 for part in result.mix)
    assert result.latency
    assert result.latency.p999
    assert result.bytes_received > 6000
    assert result.client_cpu_seconds
    assert Counter(row["request"] for row in rows(tmp_path)) == {"0": 750, "1": 250}
    heads = Counter(head.split("\r\n")[0] for head, _ in server.received)
    assert heads == {"GET /hello HTTP/1.0": 750, "GET /hello/2?a=b HTTP/1.0": 250}
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.mark.parametrize(
    ("behaviour", "kind", "count"),
    [
        ("length", "body", 50),
        ("error", "status", 50),
        ("reset", "receive", 25),
        ("close", "receive", 100),
        ("half", "receive", 100),
        ("garbage", "malformed", 100),
    ],
)
def test_every_kind_of_failure_is_counted_once(
    server: Manners, tmp_path: Path, behaviour: str, kind: str, count: int
) -> None:
    result = loaded(tmp_path, Load(5, requests=100), Ask(f"{server.url}/{behaviour}"))

    assert {kind: n for kind, n in result.failures.items() if n} == {kind: count}
    assert (result.latency is None) == (count == 100)


def test_a_body_that_ends_with_the_connection_is_whole(server: Manners, tmp_path: Path) -> None:
    result = loaded(tmp_path, Load(5, requests=50), Ask(f"{server.url}/endless"))
    assert (result.failed, result.body_bytes) == (0, 6)


@pytest.mark.parametrize(
    ("ask", "kind"),
    [
        (Ask("/hello", body="hello\n", status=200), None),
        (Ask("/hello", body="HELLO\n"), "body"),
        (Ask("/hello", status=201), "status"),
        (Ask("/hello", body_bytes=6), None),
        (Ask("/hello", body_bytes=7), "body"),
        (Ask("/length", bodies_vary=True), None),
        (Ask("/head", Request("HEAD")), None),
    ],
)
def test_what_is_right_is_what_was_asked_for(
    server: Manners, tmp_path: Path, ask: Ask, kind: str | None
) -> None:
    asked = replace(ask, url=server.url + ask.url)

    result = loaded(tmp_path, Load(2, requests=10), asked)

    assert {kind for kind, n in result.failures.items() if n} == ({kind} if kind else set())


def test_what_is_sent(server: Manners, tmp_path: Path) -> None:
    headers = {"content-type": "application/json", "Authorization": "Bearer s3cret"}
    asked = Ask(f"{server.url}/hello", Request("PUT", headers, '{"item": "ä"}'))

    loaded(tmp_path, Load(1, requests=1), asked)

    ((head, body),) = server.received
    assert body == '{"item": "ä"}'
    first, *lines = head.strip().split("\r\n")
    assert first == "PUT /hello HTTP/1.0"
    assert sorted(lines) == sorted(
        (
            f"Host: {server.url.removeprefix('http://')}",
            "User-Agent: ApacheBench/2.3", "Accept: */*", "Content-Length: 14",
            "Content-Type: application/json", "Authorization: Bearer s3cret",
        )
    )  # fmt: skip
    left = [file.read_text() for file in tmp_path.iterdir()]
    assert not any("s3cret" in text for text in left)


@pytest.mark.parametrize(
    "load",
    [Load(20, requests=40, lone_requests=0), Load(20, duration=1, lone_requests=0)],
    ids=["requests", "duration"],
)
def test_the_ceiling_is_not_exceeded(server: Manners, tmp_path: Path, load: Load) -> None:
    limit = ceiling(load, delay=0.3, slots=None, lone_requests=0)
    assert limit is not None
    result = loaded(tmp_path, load, Ask(f"{server.url}/sleep/0.3"))
    assert result.requests_per_second <= limit.requests_per_second
    assert result.requests % 20 == 0, "what has begun is ended, and counted"


def test_nothing_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    result = loaded(tmp_path, Load(5, requests=10_000), Ask(f"http://127.0.0.1:{port}/"))

    assert result.failures["connect"] >= 10
    assert result.failures["connect"] + result.failures["missing"] == 10_000
    assert result.details["first_connect_error"] == "Connection refused"
    assert result.latency is None


def test_an_answer_that_never_comes(server: Manners, tmp_path: Path) -> None:
    result = loaded(tmp_path, Load(2, requests=2), Ask(f"{server.url}/sleep/60"), timeout=0.3)
    assert result.failures["timeout"] == 2


def test_the_deadline_ends_it(server: Manners, tmp_path: Path) -> None:
    with pytest.raises(TrialError, match=r"did not end within 0\.5 s"):
        Builtin().run(
            [Ask(f"{server.url}/sleep/60")],
            Load(2, requests=4),
            folder=tmp_path,
            timeout=30,
            deadline=0.5,
        )
    assert clients() == []


def test_ctrl_c_leaves_no_client(server: Manners, tmp_path: Path) -> None:
    def interrupt(_: float) -> None:
        assert clients()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Builtin().run(
            [Ask(f"{server.url}/sleep/60")],
            Load(2, requests=4),
            folder=tmp_path,
            timeout=30,
            progress=interrupt,
        )
    assert clients() == []
    assert not list(tmp_path.glob("builtin.json")), "it held the headers"


def test_a_client_that_fails_says_why(server: Manners, tmp_path: Path) -> None:
    (tmp_path / "builtin.tsv").mkdir()  # where the rows are to go
    with pytest.raises(TrialError, match=r"exit code 1:[\s\S]*IsADirectoryError"):
        loaded(tmp_path, Load(1, requests=1), Ask(f"{server.url}/hello"))


APP = """
import time
from flask import Flask, request
app = Flask(__name__)
cart = []

@app.get("/")
def index():
    return "welcome\\n"

@app.get("/slow")
def slow():
    time.sleep(0.2)
    return f"{time.time()}\\n"

@app.post("/cart")
def add():
    return {"item": request.get_json()["item"], "user": request.headers["X-User"]}, 201
"""
SCENARIO = """
[[request]]
path = "/"
weight = 7
expect_body = "welcome\\n"

[[request]]
path = "/slow"
weight = 1
bodies_vary = true

[[request]]
path = "/cart"
weight = 2
headers = { Content-Type = "application/json" }
body = '{"item": 7}'
expect_status = 201
"""


@pytest.fixture(name="shop")
def _shop(tmp_path: Path) -> tuple[str, ...]:
    folder = write_app(tmp_path, "shop", APP)
    scenario = tmp_path / "visitors.toml"
    scenario.write_text(SCENARIO)
    return ("--app", "shop:app", "--app-dir", str(folder), "--scenario", str(scenario))


def test_a_scenario_from_the_file_to_the_report(tmp_path: Path, shop: tuple[str, ...]) -> None:
    load = ("--requests", "200", "--concurrency", "20", "--header", "X-User: me")

    ended = run(tmp_path, "run", "gevent-pywsgi", "sync-gunicorn", *shop, *load)

    assert ended.code == ExitCode.OK, ended.err
    assert "70% /, 10% /slow, 20% POST /cart" in ended.out
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert any(line.startswith("gevent-pywsgi POST /cart 20% 40 ") for line in lines)
    measured = ended.trial("gevent-pywsgi").measurement
    assert measured is not None
    assert [part.requests for part in measured.mix] == [140, 20, 40]
    slow = measured.mix[1].latency
    assert slow is not None
    assert slow.p50 >= 0.2
    assert ended.run.generator.startswith("builtin")
    assert ended.run.trials[0].load.lone_requests == 0


def test_what_fails_under_load_is_told_by_request(tmp_path: Path) -> None:
    folder = write_app(
        tmp_path,
        "shop",
        "from flask import Flask\napp = Flask(__name__)\nserved = []\n"
        "@app.get('/')\ndef index():\n    return 'welcome'\n"
        "@app.get('/few')\ndef few():\n"
        "    served.append(1)\n    return 'few' * (1 + len(served) // 100)\n",
    )
    scenario = tmp_path / "visitors.toml"
    scenario.write_text('[[request]]\npath = "/"\n[[request]]\npath = "/few"\n')
    app = ("--app", "shop:app", "--app-dir", str(folder), "--scenario", str(scenario))

    ended = run(tmp_path, "run", "gevent-pywsgi", *app, "--requests", "400", "--concurrency", "4")

    assert ended.code == ExitCode.TRIAL_FAILED
    (trial,) = ended.run.trials
    assert trial.failure is not None
    assert re.search(r"\d+ body \(/few: \d+ of 200\)", trial.failure)


def test_a_request_of_it_that_fails_is_no_result(tmp_path: Path, shop: tuple[str, ...]) -> None:
    ended = run(tmp_path, "run", "gevent-pywsgi", *shop, "--requests", "50", "--concurrency", "5")

    assert ended.code == ExitCode.TRIAL_FAILED
    assert "POST /cart: verification failed: status 500" in ended.out  # there is no X-User


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--load", "ab"), "LOAD=builtin"),
        (("--requests", "9", "--concurrency", "2"), "/slow is 0.1 of all. Send 10 or more"),
        (("--url-path", "/"), "--url-path: a scenario says that of each request"),
        (("--scenario", "no-such.toml"), "no-such.toml cannot be read"),
    ],
)
def test_what_does_not_go_with_a_scenario(
    tmp_path: Path, shop: tuple[str, ...], arguments: tuple[str, ...], said: str
) -> None:
    ended = run(tmp_path, "run", "gevent-pywsgi", *shop, *arguments)
    assert ended.code == ExitCode.USAGE
    assert said in ended.err


def test_an_app_that_answers_by_what_it_is_sent(tmp_path: Path) -> None:
    text = "from flask import Flask, request\napp = Flask(__name__)\n"
    text += "@app.get('/')\ndef index():\n    return str(request.headers)\n"
    app = ("--app", "shop:app", "--app-dir", str(write_app(tmp_path, "shop", text)))
    load = ("--load", "builtin", "--requests", "50", "--concurrency", "5")

    ended = run(tmp_path, "run", "gevent-pywsgi", *app, *load)

    assert ended.code == ExitCode.OK, ended.out
    assert ended.trial("gevent-pywsgi").valid


def test_a_name_is_looked_up_once_and_sent_as_it_is(server: Manners, tmp_path: Path) -> None:
    url = server.url.replace("127.0.0.1", "localhost")
    result = loaded(tmp_path, Load(2, requests=4), Ask(f"{url}/hello"))
    assert result.failed == 0
    assert all(f"Host: {url.removeprefix('http://')}\r\n" in head for head, _ in server.received)


def test_a_server_that_never_closes_does_not_keep_connections(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        stop = threading.Event()

        def serve() -> None:
            kept = []
            listener.settimeout(0.1)
            while not stop.is_set():
                with suppress(TimeoutError):
                    connection, _ = listener.accept()
                    connection.settimeout(DEADLINE)
                    if connection.recv(65536):
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    kept.append(connection)
            for connection in kept:
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            result = loaded(tmp_path, Load(1, requests=3 * LINGERING), Ask(url))
        finally:
            stop.set()
            thread.join()
    assert (result.failed, result.requests) == (0, 3 * LINGERING)


def test_the_client_is_measured_too(server: Manners, tmp_path: Path) -> None:
    result = loaded(tmp_path, Load(20, duration=0.5), Ask(f"{server.url}/hello"))
    assert result.client_cpu_seconds is not None
    assert 0 < result.client_cpu_seconds <= 1.2 * result.seconds + 0.1
