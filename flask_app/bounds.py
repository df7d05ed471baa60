"""Two bounds around a WSGI app: on the requests at once (503), and on the time of one (504).

Copy it beside your app. Where the app is made::

    from bounds import Bounds
    app.wsgi_app = Bounds(app.wsgi_app)

Settings, by environment (or as arguments); a bound that is not set is not there:

==================== ============================ ==============================================
MAX_REQUESTS_AT_ONCE                              requests in work, per *process*; below THREADS or
                                                  ASYNC_CORES, or the server's own queue is first
MAX_REQUEST_WAIT     0                            seconds that one waits for its turn before 503
REQUEST_TIMEOUT                                   seconds that the app may take; gevent only
UNBOUNDED_PATHS      /healthz /readyz /metrics    never refused and never cut off
==================== ============================ ==============================================

A request is in work until its response is closed: a stream until its last part, or until the
client has gone.

The time is the app's own, its waits and the reading of the body included; that a client is slow to
read does not count. A request that is too late gets 504 if nothing of its response has been sent,
otherwise its connection is cut. Without a Content-Length, a client of HTTP/1.0 (nginx over the
uwsgi protocol, too) cannot see that something is missing.

Limits of the time: code that computes is not interrupted, only code that waits; code with a bare
``except:`` may swallow it; a file that the server sends by itself (``send_file``) is not timed. And
only a greenlet can be ended like this. A thread cannot, so without gevent the start fails:
bound each call that waits instead (a timeout of the client, ``statement_timeout``).

What happened is left in ``environ["bounds.outcome"]``: ``refused`` or ``timeout``.
"""

import logging
import os
import queue
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

if TYPE_CHECKING:
    from _typeshed import OptExcInfo

AT_ONCE = int(os.environ.get("MAX_REQUESTS_AT_ONCE", "0"))
WAIT = float(os.environ.get("MAX_REQUEST_WAIT", "0"))
SECONDS = float(os.environ.get("REQUEST_TIMEOUT", "0"))
EXEMPT = tuple(os.environ.get("UNBOUNDED_PATHS", "/healthz /readyz /metrics").split())
RETRY_AFTER = "1"

OUTCOME = "bounds.outcome"
REFUSED = b'{"error":"too many requests at once"}\n'
TOO_LATE = b'{"error":"the request took too long"}\n'

T = TypeVar("T")
log = logging.getLogger(__name__)


class RequestTimeoutError(Exception):
    """A request took longer than it may. Only the server sees this, if it has begun to send."""


class Bounds:
    """A WSGI app within bounds."""

    def __init__(
        self,
        app: WSGIApplication,
        *,
        at_once: int = AT_ONCE,
        wait: float = WAIT,
        seconds: float = SECONDS,
        exempt: Sequence[str] = EXEMPT,
    ) -> None:
        if min(at_once, wait, seconds) < 0:
            raise ValueError("a bound is above 0, or 0 for none")
        self._app = self._bounded = app
        self._exempt = frozenset(exempt)
        if seconds:
            require_gevent()
            self._bounded = TimeLimit(self._bounded, seconds)
        if at_once:
            self._bounded = AtOnce(self._bounded, at_once, wait)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        app = self._app if environ.get("PATH_INFO") in self._exempt else self._bounded
        return app(environ, start_response)


def require_gevent() -> None:
    """Raise where a request is a thread, or may be one."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("_thread"):
        raise RuntimeError(
            "REQUEST_TIMEOUT needs gevent, patched before the app is imported: nothing can end a"
            " thread safely. Leave it out, and give each call that waits a timeout of its own."
        )


class AtOnce:
    """At most so many requests in work; the others are refused."""

    def __init__(self, app: WSGIApplication, slots: int, wait: float) -> None:
        self._app = app
        self._wait = wait
        # A token per slot: to take one is atomic, for threads and for greenlets.
        self._free: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(slots):
            self._free.put(None)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, or refuse it."""
        try:
            self._free.get(self._wait > 0, self._wait)
        except queue.Empty:
            environ[OUTCOME] = "refused"
            headers = [("Retry-After", RETRY_AFTER)]
            return _error(environ, start_response, "503 Service Unavailable", REFUSED, headers)
        try:
            body = self._app(environ, start_response)
        except BaseException:  # a greenlet that is killed, too
            self._give_back()
            raise
        held = _Held(body, self._give_back)
        if _is_file(body, environ):
            try:
                body.close = held.close  # type: ignore[attr-defined]
            except AttributeError:
                return held
            return body  # as it is: by this the server knows it for a file, and uses sendfile()
        return held

    def _give_back(self) -> None:
        self._free.put(None)


class _Held:
    """A response that holds its slot until it is closed."""

    __slots__ = ("_body", "_close", "_give_back")

    def __init__(self, body: Iterable[bytes], give_back: Callable[[], None]) -> None:
        self._body = body
        self._close = getattr(body, "close", _nothing)
        self._give_back = give_back

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        """Close the app's response and give the slot back, each once."""
        close, self._close = self._close, _nothing
        give_back, self._give_back = self._give_back, _nothing
        self._body = ()
        try:
            close()
        finally:
            give_back()


class TimeLimit:
    """At most so many seconds of the app's time for a request."""

    def __init__(self, app: WSGIApplication, seconds: float) -> None:
        from gevent import Timeout  # noqa: PLC0415  (not there under threads)

        self._app = app
        self._seconds = seconds
        self._timeout = Timeout

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request; within the time that is: with 504, or not to its end."""
        clock = _Clock(self._seconds, self._timeout)
        reply = _Reply(start_response)
        timed = _Timed(clock, environ)
        try:
            is_file = clock.run(lambda: timed.begin(self._app(environ, reply.start)))
            reply.send()
        except RequestTimeoutError:
            timed.close()
            environ[OUTCOME] = "timeout"
            log.warning("%s: no answer within %g s", _described(environ), self._seconds)
            if reply.sent:
                raise
            return _error(environ, start_response, "504 Gateway Timeout", TOO_LATE, [])
        except BaseException:
            timed.close()
            raise
        return timed.body if is_file else timed


class _Clock:
    """The time that the app has left; it goes on only while the app runs."""

    __slots__ = ("_left", "_timeout")

    def __init__(self, seconds: float, timeout: type[Any]) -> None:
        self._left = seconds
        self._timeout = timeout

    def run(self, call: Callable[[], T]) -> T:
        began = time.monotonic()
        own = self._timeout(self._left)
        own.start()
        try:
            return call()
        except self._timeout as error:
            if error is not own:  # the app's, or that of somebody further out
                raise
            raise RequestTimeoutError("the time of the request is over") from None
        finally:
            own.close()
            self._left = max(0.0, self._left - (time.monotonic() - began))


class _Timed:
    """A response each of whose parts has to come in time; the first one is there already."""

    __slots__ = ("_clock", "_close", "_environ", "_first", "_parts", "body")

    def __init__(self, clock: _Clock, environ: WSGIEnvironment) -> None:
        self._clock = clock
        self._environ = environ
        self._close: Callable[[], None] = _nothing
        self._parts: Iterator[bytes] = iter(())
        self._first: bytes | None = None
        self.body: Iterable[bytes] = ()

    def begin(self, body: Iterable[bytes]) -> bool:
        """Take the app's response and its first part; say if it is a file, which is left alone."""
        self.body = body
        self._close = getattr(body, "close", _nothing)
        if _is_file(body, self._environ):
            return True
        self._parts = iter(body)
        self._first = next(self._parts, None)
        return False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        try:
            return self._clock.run(self._parts.__next__)
        except RequestTimeoutError:
            self._environ[OUTCOME] = "timeout"
            log.warning("%s: cut off in mid-response", _described(self._environ))
            raise

    def close(self) -> None:
        """Close the app's response, once."""
        close, self._close = self._close, _nothing
        close()


class _Reply:
    """Keeps status and headers back until there is something to send.

    Not every server can replace them: uWSGI ignores the second ones, gunicorn sends both.
    """

    __slots__ = ("_args", "_start", "_write")

    def __init__(self, start_response: StartResponse) -> None:
        self._start = start_response
        self._args: tuple[str, list[tuple[str, str]]] | None = None
        self._write: Callable[[bytes], object] | None = None

    @property
    def sent(self) -> bool:
        return self._write is not None

    def start(
        self,
        status: str,
        headers: list[tuple[str, str]],
        exc_info: "OptExcInfo | None" = None,
        /,
    ) -> Callable[[bytes], object]:
        """Stand in for the server's start_response."""
        if exc_info and exc_info[1] and self.sent:
            raise exc_info[1].with_traceback(exc_info[2])
        if self._args and not exc_info:
            raise AssertionError("start_response was called twice")
        self._args = status, headers
        return self._send_part

    def send(self) -> Callable[[bytes], object]:
        """Hand them over, once."""
        if self._write is None:
            if self._args is None:
                raise AssertionError("the app has not called start_response")
            self._write = self._start(*self._args)
        return self._write

    def _send_part(self, data: bytes) -> object:
        return self.send()(data)


def _error(
    environ: WSGIEnvironment,
    start_response: StartResponse,
    status: str,
    body: bytes,
    headers: list[tuple[str, str]],
) -> Iterable[bytes]:
    length = ("Content-Length", str(len(body)))
    start_response(status, [("Content-Type", "application/json"), length, *headers])
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]


def _is_file(body: object, environ: WSGIEnvironment) -> bool:
    """Say if it is what the server's own ``wsgi.file_wrapper`` returns (uWSGI's: the file)."""
    wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(wrapper, type):
        return isinstance(body, wrapper)
    return wrapper is not None and hasattr(body, "read")


def _described(environ: WSGIEnvironment) -> str:
    return ascii(f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO')}")


def _nothing() -> None:
    """Stand for what has been done."""
