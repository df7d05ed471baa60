"""Metrics of a WSGI app for Prometheus, over all workers of a server. Needs ``prometheus-client``.

Copy it beside your app. Where the app is made::

    from metrics import Metrics
    app.wsgi_app = Metrics(app.wsgi_app, flask=app)

Wrap it last, so that it stands outermost: it also counts what ``bounds.py`` refuses.

==================================== =========================================================
http_requests_total                  method, route (``/user/<id>``: the rule), status (2xx)
http_request_duration_seconds        method, route; until the response is closed
http_requests_in_flight              now
http_requests_bounded_total          outcome: ``refused`` or ``timeout`` (``bounds.py``)
==================================== =========================================================

What a client makes up does not become a label: an unknown path has no route, an unknown method is
``other``.

Settings, by environment:

======================= ======================================================================
PROMETHEUS_MULTIPROC_DIR a folder that the workers share, best in memory (below /dev/shm or /run).
                         Needed with more than one worker, and set before this is imported
METRICS_PATH             where the app itself shows its metrics, as in ``/metrics``; left out:
                         nowhere. Do not let the proxy hand it on
======================= ======================================================================

Beside the app, and so also when all its slots are taken (on the same machine or in the same
container, because it looks for the workers by their process ids)::

    python metrics.py serve 127.0.0.1:9100

A worker that ends leaves its counts in the folder, where they go on being added. What it had in
flight is forgotten when the metrics are next read. The folder has to be emptied when the *server*
starts, or the counts of its last life go on:

- gunicorn: ``from metrics import on_starting`` in its configuration file;
- uWSGI: ``exec-asap = python metrics.py clear`` in its ini file;
- systemd: ``RuntimeDirectory=app`` and ``PROMETHEUS_MULTIPROC_DIR=/run/app``, a container: tmpfs.

Each worker that ever ran has two files there, all of which are read each time: keep
``max_requests`` high.
"""

import functools
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

FOLDER = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
if FOLDER:  # prometheus_client opens files there, and does not make it
    Path(FOLDER).mkdir(parents=True, exist_ok=True)

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    start_http_server,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from flask import Flask

PATH = os.environ.get("METRICS_PATH", "")
# Seconds. A histogram costs a series per bucket, route and method: a few that tell something.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"}
)

ROUTE = "metrics.route"
OUTCOME = "bounds.outcome"  # left there by bounds.py


class Metrics:
    """A WSGI app that is counted and timed."""

    def __init__(
        self, app: WSGIApplication, *, flask: "Flask | None" = None, path: str = PATH
    ) -> None:
        self._app = app
        self._path = path
        self._instruments = _instruments()
        if flask is not None:
            flask.url_value_preprocessor(_note_route)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, or show the metrics."""
        if self._path and environ.get("PATH_INFO") == self._path:
            return _show(environ, start_response)
        counted = _Counted(self._instruments, environ, start_response)
        try:
            body = self._app(environ, counted.start)
        except BaseException:
            counted.close()
            raise
        counted.hold(body)
        if _is_file(body, environ):
            with suppress(AttributeError):
                body.close = counted.close  # type: ignore[attr-defined]
                return body  # as it is: by this the server knows it for a file
        return counted


class _Instruments:
    """What is written to; a series is looked up once and then kept."""

    def __init__(self) -> None:
        self.in_flight = Gauge(
            "http_requests_in_flight", "Requests in work.", multiprocess_mode="livesum"
        )
        self.bounded = Counter("http_requests_bounded", "Requests cut short.", ["outcome"])
        self._total = Counter("http_requests", "Requests.", ["method", "route", "status"])
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "Seconds until the response was closed.",
            ["method", "route"],
            buckets=BUCKETS,
        )
        self._kept: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}

    def series(self, method: str, route: str, status: str) -> tuple[Counter, Histogram]:
        key = method, route, status
        if key not in self._kept:
            self._kept[key] = self._total.labels(*key), self._seconds.labels(method, route)
        return self._kept[key]


@functools.cache
def _instruments() -> _Instruments:
    return _Instruments()


class _Counted:
    """A response that is counted when it is closed."""

    __slots__ = ("_began", "_body", "_close", "_environ", "_instruments", "_start", "_status")

    def __init__(
        self,
        instruments: _Instruments,
        environ: WSGIEnvironment,
        start_response: StartResponse,
    ) -> None:
        self._began = time.perf_counter()
        self._instruments: _Instruments | None = instruments
        self._environ = environ
        self._start = start_response
        self._status = "5xx"  # what the server makes of an app that raises
        self._body: Iterable[bytes] = ()
        self._close: Callable[[], None] = _nothing
        instruments.in_flight.inc()

    def start(
        self, status: str, headers: list[tuple[str, str]], *exc_info: "OptExcInfo | None"
    ) -> Callable[[bytes], object]:
        self._status = f"{status[0]}xx"
        return self._start(status, headers, *exc_info)

    def hold(self, body: Iterable[bytes]) -> None:
        self._body = body
        self._close = getattr(body, "close", _nothing)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        """Close the app's response and count it, each once."""
        close, self._close = self._close, _nothing
        instruments, self._instruments = self._instruments, None
        self._body = ()
        try:
            close()
        finally:
            if instruments:
                self._count(instruments)

    def _count(self, instruments: _Instruments) -> None:
        environ = self._environ
        method = environ.get("REQUEST_METHOD", "")
        total, seconds = instruments.series(
            method if method in METHODS else "other", environ.get(ROUTE, ""), self._status
        )
        instruments.in_flight.dec()
        total.inc()
        seconds.observe(time.perf_counter() - self._began)
        if OUTCOME in environ:
            instruments.bounded.labels(environ[OUTCOME]).inc()


def _note_route(_endpoint: str | None, _values: dict[str, Any] | None) -> None:
    from flask import request  # noqa: PLC0415  (this file is of use without Flask, too)

    rule = request.url_rule
    request.environ[ROUTE] = rule.rule if rule else ""


def _show(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    status, kind = "200 OK", CONTENT_TYPE_LATEST
    if FOLDER or not environ.get("wsgi.multiprocess"):
        body = collected()
    else:
        status, kind = "500 Internal Server Error", "text/plain"
        body = b"these would be one worker's of several: set PROMETHEUS_MULTIPROC_DIR\n"
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]


def collected() -> bytes:
    """Return the metrics of all workers, as Prometheus reads them."""
    return generate_latest(_all_workers() if FOLDER else REGISTRY)


def _all_workers() -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(_Folder())
    return registry


class _Folder(Collector):
    """What all workers have written into the folder."""

    def collect(self) -> Iterable[Metric]:
        forget_the_dead()
        files = []
        for file in Path(FOLDER).glob("*.db"):
            with suppress(FileNotFoundError):
                if file.stat().st_size:  # else a worker is just making it
                    files.append(str(file))
        merged: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return merged


def forget_the_dead() -> None:
    """Forget what workers that are no more had in flight; what they had counted stays."""
    for file in Path(FOLDER).glob("gauge_live*.db"):
        pid = int(file.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            with suppress(FileNotFoundError):  # somebody else who reads was faster
                mark_process_dead(pid)  # type: ignore[no-untyped-call]
        except PermissionError:
            pass  # it is there, and somebody else's


def clear() -> None:
    """Forget all: for the start of a server, before its first worker."""
    for file in Path(FOLDER).glob("*.db") if FOLDER else ():
        file.unlink(missing_ok=True)


def on_starting(server: object) -> None:
    """Clear the folder; gunicorn's hook of this name. On USR2 the old workers still write there."""
    if not getattr(server, "master_pid", 0):
        clear()


def _is_file(body: object, environ: WSGIEnvironment) -> bool:
    """Say if it is what the server's own ``wsgi.file_wrapper`` returns (uWSGI's: the file)."""
    wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(wrapper, type):
        return isinstance(body, wrapper)
    return wrapper is not None and hasattr(body, "read")


def _nothing() -> None:
    """Stand for what has been done."""


def main(command: str = "", bind: str = "127.0.0.1:9100") -> None:
    """Clear the folder, or show what is in it to Prometheus until this is ended."""
    if not FOLDER or command not in {"clear", "serve"}:
        sys.exit("PROMETHEUS_MULTIPROC_DIR=… python metrics.py clear | serve [host:port]")
    if command == "clear":
        clear()
        return
    host, _, port = bind.rpartition(":")
    _, thread = start_http_server(int(port), host.strip("[]"), _all_workers())
    thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
