"""A line per request, with how long it took, written by the app itself.

Copy it beside your app. Where the app is made::

    from access_log import AccessLog
    app.wsgi_app = AccessLog(app.wsgi_app)

Wrap it last, so that it stands outermost: then it also sees what others refuse. Only werkzeug's
``ProxyFix`` goes around it, where there is a proxy: the address is that of the connection, and
what clients say of themselves in ``X-Forwarded-For`` is for ProxyFix to judge. One access log is
enough: if the proxy writes one, you do not need this.

Settings, by environment (or as arguments):

=================== ======== ==============================================================
ACCESS_LOG          stdout   or ``stderr``
ACCESS_LOG_FORMAT   json     or ``combined`` (Apache's, then seconds and request id)
ACCESS_LOG_SKIP              paths without a line, as in ``/healthz /readyz``
=================== ======== ==============================================================

``seconds`` and ``bytes`` count until the response is closed. A request keeps the ``X-Request-ID``
that it has, if that is a harmless one, or is given one; the response has it, and the app finds it
under ``request.headers["X-Request-ID"]``. The query is left out: tokens travel in it. What cannot
be printed is escaped, so that no client can write a line of its own.

No request waits for the log. Lines are gathered for a moment and written by somebody else, in
pieces that the kernel does not mix with those of other workers. If whoever reads them stands
still, those above ``MOST`` are dropped, and the log says how many. A worker that is killed loses
the last moment's.
"""

import atexit
import functools
import json
import os
import random
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

if TYPE_CHECKING:
    from _typeshed import OptExcInfo

STREAM = os.environ.get("ACCESS_LOG", "stdout")
FORMAT = os.environ.get("ACCESS_LOG_FORMAT", "json")
SKIP = tuple(os.environ.get("ACCESS_LOG_SKIP", "").split())

GATHER = 0.2  # seconds
MOST = 20_000  # lines that wait to be written: some 5 MB
PIECE = 4096  # bytes; more at once a pipe may mix with others' (PIPE_BUF)
LONGEST = 500  # characters of what a client has given

HARMLESS = re.compile(r"[\w.:=+/-]{1,128}", re.ASCII)
STREAMS = {"stdout": 1, "stderr": 2}
OUTCOME = "bounds.outcome"  # left there by bounds.py


class AccessLog:
    """A WSGI app whose requests are logged."""

    def __init__(
        self,
        app: WSGIApplication,
        *,
        stream: str = STREAM,
        style: str = FORMAT,
        skip: Sequence[str] = SKIP,
    ) -> None:
        if stream not in STREAMS or style not in FORMATS:
            raise ValueError(
                f"ACCESS_LOG is {' or '.join(STREAMS)}, ACCESS_LOG_FORMAT {' or '.join(FORMATS)}"
            )
        self._app = app
        self._skip = frozenset(skip)
        self._format = FORMATS[style]
        self._write = Lines(STREAMS[stream]).add

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        if environ.get("PATH_INFO") in self._skip:
            return self._app(environ, start_response)
        logged = _Logged(environ, start_response, self._done)
        try:
            body = self._app(environ, logged.start)
        except BaseException:
            logged.close()
            raise
        if logged.hold(body):
            with suppress(AttributeError):
                body.close = logged.close  # type: ignore[attr-defined]
                return body  # as it is: by this the server knows it for a file
        return logged

    def _done(self, response: "_Logged") -> None:
        self._write(self._format(response))


class _Logged:
    """A response that is logged when it is closed."""

    __slots__ = (
        *("_body", "_close", "_done", "_headers", "_start"),
        *("began", "environ", "id", "sent", "status"),
    )

    def __init__(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        done: Callable[["_Logged"], None],
    ) -> None:
        self.began = time.perf_counter()
        self.environ = environ
        self.status = "500"  # what the server makes of an app that raises
        self.sent = 0
        self._start = start_response
        self._done: Callable[[_Logged], None] | None = done
        self._headers: Sequence[tuple[str, str]] = ()
        self._body: Iterable[bytes] = ()
        self._close: Callable[[], None] = _nothing
        given = environ.get("HTTP_X_REQUEST_ID", "")
        self.id = given if HARMLESS.fullmatch(given) else f"{random.getrandbits(64):016x}"
        environ["HTTP_X_REQUEST_ID"] = self.id

    def start(
        self, status: str, headers: list[tuple[str, str]], *exc_info: "OptExcInfo | None"
    ) -> Callable[[bytes], object]:
        self.status = status[:3]
        self._headers = headers
        write = self._start(status, [*headers, ("X-Request-ID", self.id)], *exc_info)

        def count(data: bytes) -> object:
            self.sent += len(data)
            return write(data)

        return count

    def hold(self, body: Iterable[bytes]) -> bool:
        """Take the app's response; say if it is a file, which the server sends by itself."""
        self._body = body
        self._close = getattr(body, "close", _nothing)
        if not _is_file(body, self.environ):
            return False
        for name, value in self._headers:
            if name.lower() == "content-length":
                self.sent = int(value)
        return True

    def __iter__(self) -> Iterator[bytes]:
        for part in self._body:
            self.sent += len(part)
            yield part

    def close(self) -> None:
        """Close the app's response and log it, each once."""
        close, self._close = self._close, _nothing
        done, self._done = self._done, None
        self._body = ()
        try:
            close()
        finally:
            if done:
                done(self)


def _is_file(body: object, environ: WSGIEnvironment) -> bool:
    """Say if it is what the server's own ``wsgi.file_wrapper`` returns (uWSGI's: the file)."""
    wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(wrapper, type):
        return isinstance(body, wrapper)
    return wrapper is not None and hasattr(body, "read")


class Lines:
    """Lines on their way to a file descriptor: gathered here, written by a thread of its own."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._forget()
        os.register_at_fork(after_in_child=self._forget)  # they are the parent's to write
        atexit.register(self._last)

    def _forget(self) -> None:
        self._waiting: deque[str] = deque()
        self._dropped = 0
        self._some = threading.Event()
        self._starting = threading.Lock()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, line: str) -> None:
        """Have a line written, soon; or none at all, if too many wait already."""
        if len(self._waiting) >= MOST:
            self._dropped += 1
            return
        self._waiting.append(line)
        if not self._some.is_set():
            self._start()
            self._some.set()

    def _start(self) -> None:
        """Start the thread with the first line: after the fork, whoever forks when."""
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True, name="access log")
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._some.wait()
            time.sleep(GATHER)
            self._some.clear()  # before it looks: what comes from now on wakes it again
            with self._writing:
                _natively(self._write)

    def _last(self) -> None:
        # Not for ever: whoever reads the log may stand still.
        with suppress(Exception):
            if self._writing.acquire(timeout=1):
                self._write()

    def _write(self) -> None:
        for piece in self._pieces():
            with suppress(OSError):  # nobody reads it any more
                os.write(self._descriptor, piece)

    def _pieces(self) -> Iterator[bytes]:
        """Yield all that waits, in whole lines."""
        piece = b""
        dropped, self._dropped = self._dropped, 0
        if dropped:
            piece = b'{"dropped_lines":%d}\n' % dropped
        for _ in range(len(self._waiting)):
            line = self._waiting.popleft().encode("ascii") + b"\n"
            if piece and len(piece) + len(line) > PIECE:
                yield piece
                piece = b""
            piece += line
        if piece:
            yield piece


def _natively(call: Callable[[], None]) -> None:
    """Call what may block: in a thread of gevent's pool, where threads are greenlets."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("_thread"):
        from gevent import get_hub  # noqa: PLC0415  (not there under threads)

        get_hub().threadpool.apply(call)
    else:
        call()


def as_json(response: _Logged) -> str:
    """Return a line of JSON."""
    environ = response.environ
    now = time.time()
    record = {
        "time": f"{_clock(int(now), '%Y-%m-%dT%H:%M:%S')}.{int(now % 1 * 1000):03}Z",
        "remote": _text(environ.get("REMOTE_ADDR")),
        "method": _text(environ.get("REQUEST_METHOD")),
        "path": _path(environ),
        "status": int(response.status),
        "bytes": response.sent,
        "seconds": round(time.perf_counter() - response.began, 6),
        "id": response.id,
    }
    if OUTCOME in environ:
        record["outcome"] = environ[OUTCOME]
    return _quoted(record)


def as_combined(response: _Logged) -> str:
    """Return a line as Apache writes it."""
    environ = response.environ
    seconds = time.perf_counter() - response.began
    remote = _quoted(_text(environ.get("REMOTE_ADDR")) or "-")[1:-1].replace(" ", "%20")
    method, protocol = environ.get("REQUEST_METHOD"), environ.get("SERVER_PROTOCOL")
    request = _quoted(f"{_text(method)} {_path(environ)} {_text(protocol)}")
    referer, agent = (
        _quoted(_text(environ.get(name)) or "-") for name in ("HTTP_REFERER", "HTTP_USER_AGENT")
    )
    when = _clock(int(time.time()), "%d/%b/%Y:%H:%M:%S +0000")
    return (
        f"{remote} - - [{when}] {request} {response.status} {response.sent}"
        f" {referer} {agent} {seconds:.6f} {response.id}"
    )


FORMATS = {"json": as_json, "combined": as_combined}


@functools.lru_cache(maxsize=8)
def _clock(second: int, pattern: str) -> str:
    return time.strftime(pattern, time.gmtime(second))


def _path(environ: WSGIEnvironment) -> str:
    return _text(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""))


def _text(value: str | None) -> str:
    """Return what a client has sent as it meant it (WSGI hands over bytes as Latin-1)."""
    value = (value or "")[:LONGEST]
    if value.isascii() and value.isprintable():
        return value
    # a fifth: escaped, each may take twelve bytes, and a line has to stay below PIECE
    return value.encode("latin-1", "replace").decode("utf-8", "replace")[: LONGEST // 5]


def _quoted(value: object) -> str:
    """Return JSON, in which nothing is left but what can be printed: all else is escaped."""
    return json.dumps(value, separators=(",", ":"))


def _nothing() -> None:
    """Stand for what has been done."""
