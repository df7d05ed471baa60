"""The app's metrics: what is counted under which label, in one process."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from flask import Blueprint, Flask, Response

prometheus_client = pytest.importorskip("prometheus_client")

import metrics  # noqa: E402
from metrics import Metrics  # noqa: E402

DEADLINE = 30.0
HERE = Path(metrics.__file__).parent

App = Callable[..., Any]
Numbers = dict[str, float]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Count from nothing: the registry is one per process."""
    registry = prometheus_client.CollectorRegistry()
    for name in ("Counter", "Gauge", "Histogram"):
        made = getattr(prometheus_client, name)

        def make(*given: Any, kind: Any = made, **how: Any) -> Any:
            return kind(*given, registry=registry, **how)

        monkeypatch.setattr(metrics, name, make)
    monkeypatch.setattr(metrics, "REGISTRY", registry)
    metrics._instruments.cache_clear()
    yield
    metrics._instruments.cache_clear()


def get(app: App, path: str = "/", method: str = "GET", **environ: Any) -> bytes:
    given: dict[str, Any] = {"PATH_INFO": path, "REQUEST_METHOD": method, "QUERY_STRING": ""}
    given["SCRIPT_NAME"] = ""
    setup_testing_defaults(given)
    given |= environ
    body = app(given, lambda *_: lambda _: None)
    try:
        return b"".join(body)
    finally:
        for _ in range(2):  # the second time nothing happens
            getattr(body, "close", lambda: None)()


def numbers() -> Numbers:
    """Return what Prometheus would read: name and labels → value, what is nought left out."""
    found = {}
    for line in metrics.collected().decode().splitlines():
        if not line.startswith("#") and "_created" not in line:
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return {name: value for name, value in found.items() if value}


def totals() -> Numbers:
    return {
        re.sub('method=|status=|route=|"|http_requests_total', "", name): value
        for name, value in numbers().items()
        if name.startswith("http_requests_total")
    }


def shop() -> Flask:
    app = Flask("shop")
    orders = Blueprint("orders", "orders", url_prefix="/orders")

    @orders.get("/<int:number>")
    def order(number: int) -> str:
        return str(number)

    @app.route("/", methods=["GET", "POST"])
    def index() -> str:
        return "index"

    @app.get("/error")
    def error() -> str:
        raise ValueError

    @app.get("/stream")
    def stream() -> Response:
        return Response(iter(["one", "two"]))

    app.register_blueprint(orders)
    return app


def test_what_clients_make_up_becomes_no_label() -> None:
    app = shop()
    counted = Metrics(app.wsgi_app, flask=app)
    for number in range(5):
        get(counted, f"/orders/{number}")
        get(counted, f"/nowhere/{number}")
        get(counted, "/", f"BREW{number}")
    get(counted, "/", "POST")
    get(counted, "/", "DELETE")
    get(counted, "/", "HEAD")
    get(counted, "/stream")
    get(counted, "/error")
    assert totals() == {
        "{GET,/orders/<int:number>,2xx}": 5,
        "{GET,,4xx}": 5,
        "{other,,4xx}": 5,
        "{POST,/,2xx}": 1,
        "{DELETE,,4xx}": 1,
        "{HEAD,/,2xx}": 1,
        "{GET,/stream,2xx}": 1,
        "{GET,/error,5xx}": 1,
    }
    found = numbers()
    assert found['http_request_duration_seconds_count{method="GET",route="/stream"}'] == 1
    assert found['http_request_duration_seconds_sum{method="GET",route="/stream"}'] < DEADLINE
    assert "http_requests_in_flight" not in found


def test_without_flask_there_is_no_route() -> None:
    def app(_environ: object, start: App) -> Iterable[bytes]:
        start("301 Moved", [])
        return []

    get(Metrics(app), "/a")
    get(Metrics(app), "/b")
    assert totals() == {"{GET,,3xx}": 2}


def test_a_request_is_in_flight_until_it_is_closed() -> None:
    def app(_environ: object, start: App) -> Iterable[bytes]:
        start("200 OK", [])
        return iter([b"x"])

    counted = Metrics(app)
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    body = counted(environ, lambda *_: lambda _: None)
    assert list(body) == [b"x"]
    assert numbers() == {"http_requests_in_flight": 1}
    body.close()  # type: ignore[attr-defined]
    assert "http_requests_in_flight" not in numbers()
    assert totals() == {"{GET,,2xx}": 1}


def test_an_app_that_raises_counts_once() -> None:
    def fails(_environ: object, _start: App) -> Iterable[bytes]:
        raise ValueError

    def fails_in_the_middle(_environ: object, start: App) -> Iterator[bytes]:
        start("200 OK", [])
        yield b"one"
        raise ValueError

    for app in (fails, fails_in_the_middle):
        with pytest.raises(ValueError):  # noqa: PT011
            get(Metrics(app))
    assert totals() == {"{GET,,5xx}": 1, "{GET,,2xx}": 1}
    assert "http_requests_in_flight" not in numbers()


def test_a_file_stays_one() -> None:
    file = io.BytesIO(b"of a file")

    def app(environ: dict[str, Any], start: App) -> Any:
        start("200 OK", [])
        return environ["wsgi.file_wrapper"](file)

    seen = []
    counted = Metrics(app)

    def server(environ: Any, start: Any) -> Any:
        seen.append(counted(environ, start))
        return seen[-1]

    as_is: dict[str, Any] = {"wsgi.file_wrapper": lambda file: file}
    assert get(server, **as_is) == b"of a file"
    assert seen == [file]
    assert file.closed
    assert totals() == {"{GET,,2xx}": 1}


def test_what_the_bounds_did_is_counted() -> None:
    counted = Metrics(shop().wsgi_app)
    for outcome in ("refused", "refused", "timeout"):
        get(counted, **{"bounds.outcome": outcome})
    found = numbers()
    assert found['http_requests_bounded_total{outcome="refused"}'] == 2
    assert found['http_requests_bounded_total{outcome="timeout"}'] == 1


def test_the_app_shows_its_metrics_only_where_it_is_told_to() -> None:
    app = shop()
    assert b"http_requests_total" not in get(Metrics(app.wsgi_app), "/metrics")
    shown = Metrics(app.wsgi_app, path="/metrics")
    assert b'http_requests_total{method="GET",route="",status="4xx"} 1.0' in get(shown, "/metrics")
    assert get(shown, "/metrics", "HEAD") == b""
    # what one worker of several knows is not the metrics of the app
    several: dict[str, Any] = {"wsgi.multiprocess": True}
    one = get(shown, "/metrics", **several)
    assert one.startswith(b"these would be one worker's of several")


def test_it_keeps_to_the_rules_of_wsgi() -> None:
    app = shop()
    counted = Metrics(validator(app.wsgi_app), flask=app, path="/metrics")
    assert get(validator(counted)) == b"index"
    assert b"http_requests_total" in get(validator(counted), "/metrics")


def command(folder: Path | None, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    if folder:
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    return subprocess.run(
        [sys.executable, str(HERE / "metrics.py"), *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )


def test_the_folder_is_cleared_of_metrics_only(tmp_path: Path) -> None:
    for name in ("counter_1.db", "gauge_livesum_1.db", "notes.txt"):
        (tmp_path / name).touch()
    assert command(tmp_path, "clear").returncode == 0
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
    made = tmp_path / "a" / "folder"
    assert command(made, "clear").returncode == 0
    assert made.is_dir()
    for folder, words in ((None, ["clear"]), (tmp_path, []), (tmp_path, ["drop"])):
        wrong = command(folder, *words)
        assert wrong.returncode != 0
        assert "PROMETHEUS_MULTIPROC_DIR=… python metrics.py clear | serve" in wrong.stderr


def test_the_dead_are_forgotten_and_the_living_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "FOLDER", str(tmp_path))
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for pid in (gone.pid, os.getpid(), 1):
        for kind in ("counter", "gauge_livesum"):
            (tmp_path / f"{kind}_{pid}.db").touch()
    metrics.forget_the_dead()
    left = {file.name for file in tmp_path.iterdir()}
    assert left == {
        f"counter_{gone.pid}.db", f"counter_{os.getpid()}.db", "counter_1.db",
        f"gauge_livesum_{os.getpid()}.db", "gauge_livesum_1.db",
    }  # fmt: skip


def test_a_file_that_a_worker_is_just_making_disturbs_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "FOLDER", str(tmp_path))
    (tmp_path / f"counter_{os.getpid()}.db").touch()
    assert metrics.collected() == b""


@pytest.mark.parametrize(("master_pid", "left"), [(0, 0), (123, 1)])
def test_an_upgrade_of_gunicorn_leaves_the_old_workers_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, master_pid: int, left: int
) -> None:
    monkeypatch.setattr(metrics, "FOLDER", str(tmp_path))
    (tmp_path / "counter_7.db").touch()
    metrics.on_starting(SimpleNamespace(master_pid=master_pid))
    assert len(list(tmp_path.iterdir())) == left
