"""The bounds around an app: who is refused, when a slot is free again, and what a late one gets."""

import io
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import gevent
import pytest

from bounds import AtOnce, Bounds, RequestTimeoutError, TimeLimit

BRIEF = 0.05
"""A time limit that is meant to be exceeded."""
LONG = 60.0
DEADLINE = 30.0

App = Callable[..., Any]


class Exchange:
    """One request to an app, and what the app has done with the server's start_response."""

    def __init__(self, app: App, path: str = "/", method: str = "GET", **environ: Any) -> None:
        self.environ: dict[str, Any] = {
            "PATH_INFO": path, "REQUEST_METHOD": method, "SCRIPT_NAME": "", "QUERY_STRING": "",
        }  # fmt: skip
        setup_testing_defaults(self.environ)
        self.environ.pop("wsgi.file_wrapper", None)
        self.environ.update(environ)
        self.starts: list[tuple[str, dict[str, str]]] = []
        self.written: list[bytes] = []
        self.body: Iterable[bytes] = app(self.environ, self.start)

    def start(self, status: str, headers: list[tuple[str, str]], _error: Any = None) -> Any:
        self.starts.append((status, dict(headers)))
        return self.written.append

    @property
    def status(self) -> str:
        (only,) = self.starts
        return only[0]

    def read(self) -> bytes:
        """Do as a server does: send all, then close, whatever happens."""
        try:
            return b"".join(self.body)
        finally:
            self.close()

    def close(self) -> None:
        getattr(self.body, "close", lambda: None)()


class Body:
    """A response that knows how often it was closed, and may fail in doing so."""

    def __init__(self, *parts: bytes, error: BaseException | None = None) -> None:
        self._parts = iter(parts)
        self._error = error
        self.closed = 0

    def __iter__(self) -> "Body":
        return self

    def __next__(self) -> bytes:
        return next(self._parts)

    def close(self) -> None:
        self.closed += 1
        if self._error:
            raise self._error


def app_of(body: Iterable[bytes]) -> App:
    def app(_environ: object, start: App) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        return body

    return app


def raising(error: BaseException) -> App:
    def app(_environ: object, _start: App) -> Iterable[bytes]:
        raise error

    return app


class Switch:
    """An app whose answers can be changed: bounds stay, and what is in them."""

    app: App = staticmethod(app_of([b"hello"]))

    def __call__(self, environ: Any, start: App) -> Any:
        return self.app(environ, start)


@pytest.fixture(name="switch")
def _switch() -> Switch:
    return Switch()


def is_free(bounded: App, switch: Switch) -> bool:
    switch.app = app_of([b"hello"])
    exchange = Exchange(bounded)
    exchange.read()
    return exchange.status == "200 OK"


def test_what_is_above_the_bound_is_refused_until_one_is_closed() -> None:
    bounded = Bounds(app_of([b"hello"]), at_once=2)
    first, second = Exchange(bounded), Exchange(bounded)

    third = Exchange(bounded)
    assert third.starts == [
        (
            "503 Service Unavailable",
            {"Content-Type": "application/json", "Content-Length": "38", "Retry-After": "1"},
        )
    ]
    assert third.read() == b'{"error":"too many requests at once"}\n'
    assert third.environ["bounds.outcome"] == "refused"
    head = Exchange(bounded, method="HEAD")
    assert (head.status, head.read()) == ("503 Service Unavailable", b"")

    assert first.read() == b"hello"
    fourth = Exchange(bounded)
    assert fourth.status == "200 OK"
    assert "bounds.outcome" not in fourth.environ
    assert Exchange(bounded).status == "503 Service Unavailable"
    second.close()
    fourth.close()


def test_exempt_paths_pass_and_take_no_slot() -> None:
    bounded = Bounds(app_of([b"hello"]), at_once=1, exempt=["/healthz"])
    probes = [Exchange(bounded, "/healthz") for _ in range(5)]
    held = Exchange(bounded)
    assert held.status == "200 OK"
    assert Exchange(bounded, "/healthz/more").status == "503 Service Unavailable"
    assert Exchange(bounded, "/healthz").status == "200 OK"
    assert {probe.status for probe in probes} == {"200 OK"}


def test_a_slot_is_given_back_once_however_often_it_is_closed(switch: Switch) -> None:
    bounded = AtOnce(switch, 1, 0)
    body = Body(b"x")
    switch.app = app_of(body)
    exchange = Exchange(bounded)
    for _ in range(3):
        exchange.close()
    assert body.closed == 1
    held = Exchange(bounded)
    assert Exchange(bounded).status == "503 Service Unavailable"
    held.close()


@pytest.mark.parametrize("error", [ValueError(), gevent.GreenletExit(), KeyboardInterrupt()])
def test_errors_give_the_slot_back(switch: Switch, error: BaseException) -> None:
    bounded = AtOnce(switch, 1, 0)
    switch.app = raising(error)
    with pytest.raises(type(error)):
        Exchange(bounded)
    assert is_free(bounded, switch)

    def fails_in_the_middle() -> Iterator[bytes]:
        yield b"one"
        raise error

    switch.app = app_of(fails_in_the_middle())
    with pytest.raises(type(error)):
        Exchange(bounded).read()
    assert is_free(bounded, switch)

    switch.app = app_of(Body(b"one", error=error))
    with pytest.raises(type(error)):
        Exchange(bounded).read()
    assert is_free(bounded, switch)


class FileWrapper:
    """As gunicorn's: the server knows a file by its class."""

    def __init__(self, file: io.BytesIO) -> None:
        self.file = file
        self.close = file.close

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.file)


def returns_the_file(file: io.BytesIO) -> io.BytesIO:
    """As uWSGI's."""
    return file


class Slotted:
    """A file on which nothing can be noted."""

    __slots__ = ()

    def read(self) -> bytes:
        return b""

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"of a file"])


@pytest.mark.parametrize("limit", [False, True])
@pytest.mark.parametrize("wrapper", [FileWrapper, returns_the_file])
def test_a_file_stays_one_and_holds_its_slot(switch: Switch, limit: bool, wrapper: Any) -> None:
    file = io.BytesIO(b"of a file")
    response = wrapper(file)
    switch.app = app_of(response)
    inner: App = TimeLimit(switch, LONG) if limit else switch
    bounded = AtOnce(inner, 1, 0)
    as_is: dict[str, Any] = {"wsgi.file_wrapper": wrapper}
    exchange = Exchange(bounded, **as_is)
    assert exchange.body is response, "the server would no longer use sendfile()"
    assert Exchange(bounded).status == "503 Service Unavailable"
    assert exchange.read() == b"of a file"
    assert file.closed
    assert is_free(bounded, switch)


def test_a_file_that_nothing_can_be_noted_on_is_wrapped(switch: Switch) -> None:
    switch.app = app_of(Slotted())
    bounded = AtOnce(switch, 1, 0)
    as_is: dict[str, Any] = {"wsgi.file_wrapper": returns_the_file}
    exchange = Exchange(bounded, **as_is)
    assert exchange.read() == b"of a file"
    assert is_free(bounded, switch)


def test_some_wait_for_their_turn_and_no_longer() -> None:
    bounded = AtOnce(app_of([b"hello"]), 1, BRIEF)
    held = Exchange(bounded)
    assert Exchange(bounded).status == "503 Service Unavailable"
    held.close()

    patient = AtOnce(app_of([b"hello"]), 1, DEADLINE)
    held = Exchange(patient)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(Exchange, patient)
        assert not waiting.done()
        held.close()
        assert waiting.result(DEADLINE).status == "200 OK"


def test_threads_are_never_more_than_the_bound_and_lose_no_slot() -> None:
    slots, clients = 3, 16
    inside = most = 0
    lock = threading.Lock()

    class Counting(Body):
        def close(self) -> None:
            nonlocal inside
            with lock:
                inside -= 1

    def app(_environ: object, start: App) -> Iterable[bytes]:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        start("200 OK", [])
        return Counting(b"x")

    bounded = AtOnce(app, slots, DEADLINE)

    def client(_: int) -> set[str]:
        seen = set()
        for _ in range(100):
            exchange = Exchange(bounded)
            exchange.read()
            seen.add(exchange.status)
        return seen

    with ThreadPoolExecutor(clients) as pool:
        assert set().union(*pool.map(client, range(clients))) == {"200 OK"}
    assert 1 <= most <= slots
    held = [Exchange(bounded) for _ in range(slots)]
    assert {each.status for each in held} == {"200 OK"}
    assert inside == slots


def test_time_is_not_promised_where_it_cannot_be_kept() -> None:
    with pytest.raises(RuntimeError, match="REQUEST_TIMEOUT needs gevent"):
        Bounds(app_of([]), seconds=1)
    with pytest.raises(ValueError, match="above 0"):
        Bounds(app_of([]), at_once=-1)


def late(_environ: object, _start: App) -> Iterable[bytes]:
    gevent.sleep(LONG)
    return []


def late_after_start(_environ: object, start: App) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    gevent.sleep(LONG)
    return []


def late_generator(_environ: object, start: App) -> Iterator[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    gevent.sleep(LONG)
    yield b"never"


@pytest.mark.parametrize("app", [late, late_after_start, late_generator])
def test_a_late_request_gets_504_if_nothing_was_sent(app: App) -> None:
    exchange = Exchange(TimeLimit(app, BRIEF))
    assert exchange.starts == [
        ("504 Gateway Timeout", {"Content-Type": "application/json", "Content-Length": "38"})
    ]
    assert exchange.read() == b'{"error":"the request took too long"}\n'
    assert exchange.environ["bounds.outcome"] == "timeout"
    assert Exchange(TimeLimit(app, BRIEF), method="HEAD").read() == b""


def test_a_late_response_is_cut_and_closed_once() -> None:
    ended = []

    def stream(_environ: object, start: App) -> Iterator[bytes]:
        start("200 OK", [])
        try:
            yield b"one"
            gevent.sleep(LONG)
        finally:
            ended.append("closed")

    exchange = Exchange(TimeLimit(stream, BRIEF))
    parts = iter(exchange.body)
    assert next(parts) == b"one"
    with pytest.raises(RequestTimeoutError):
        next(parts)
    exchange.close()
    assert exchange.status == "200 OK"
    assert ended == ["closed"]
    assert exchange.environ["bounds.outcome"] == "timeout"


def test_what_was_written_counts_as_sent() -> None:
    def writes(_environ: object, start: App) -> Iterable[bytes]:
        start("200 OK", [])(b"one")
        gevent.sleep(LONG)
        return []

    written: list[bytes] = []

    def start(status: str, _headers: object) -> Callable[[bytes], None]:
        written.append(status.encode())
        return written.append

    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    with pytest.raises(RequestTimeoutError):
        TimeLimit(writes, BRIEF)(environ, start)  # type: ignore[arg-type]
    assert written == [b"200 OK", b"one"]


def test_the_time_of_a_slow_client_does_not_count() -> None:
    exchange = Exchange(TimeLimit(app_of(iter([b"one", b"two", b"three"])), 2 * BRIEF))
    seen = []
    for part in exchange.body:
        seen.append(part)
        gevent.sleep(2 * BRIEF)
    assert seen == [b"one", b"two", b"three"]


def test_the_time_of_all_parts_counts_together() -> None:
    def stream(_environ: object, start: App) -> Iterator[bytes]:
        start("200 OK", [])
        for _ in range(100):
            gevent.sleep(BRIEF)
            yield b"x"

    exchange = Exchange(TimeLimit(stream, 6 * BRIEF))
    with pytest.raises(RequestTimeoutError):
        exchange.read()


@pytest.mark.parametrize("limit", [BRIEF, LONG])
def test_a_timeout_of_the_apps_own_stays_its_own(limit: float) -> None:
    def caught(_environ: object, start: App) -> Iterable[bytes]:
        with pytest.raises(gevent.Timeout) as seen, gevent.Timeout(BRIEF / 2) as own:
            gevent.sleep(LONG)
        assert seen.value is own
        start("200 OK", [])
        return [b"caught"]

    def not_caught(_environ: object, _start: App) -> Iterable[bytes]:
        with gevent.Timeout(BRIEF / 2):
            gevent.sleep(LONG)
        return []

    assert Exchange(TimeLimit(caught, limit)).read() == b"caught"
    with pytest.raises(gevent.Timeout):
        Exchange(TimeLimit(not_caught, limit))


def test_a_timeout_around_it_passes() -> None:
    bounded = TimeLimit(late, LONG)
    with pytest.raises(gevent.Timeout) as caught, gevent.Timeout(BRIEF) as own:
        Exchange(bounded)
    assert caught.value is own


def test_no_timer_is_left_behind() -> None:
    exchange = Exchange(TimeLimit(app_of([b"one"]), BRIEF))
    assert exchange.read() == b"one"
    gevent.sleep(3 * BRIEF)  # it would be raised here


def test_errors_of_the_app_pass_and_its_response_is_closed() -> None:
    for error in (ValueError(), gevent.GreenletExit()):
        with pytest.raises(type(error)):
            Exchange(TimeLimit(raising(error), LONG))

    class Unready(Body):
        def __next__(self) -> bytes:
            raise ValueError("no first part")

    body = Unready()
    with pytest.raises(ValueError, match="no first part"):
        Exchange(TimeLimit(app_of(body), LONG))
    assert body.closed == 1

    forgetful = Body(b"x")
    with pytest.raises(AssertionError, match="has not called start_response"):
        Exchange(TimeLimit(lambda *_: forgetful, LONG))
    assert forgetful.closed == 1


def test_start_response_again_replaces_what_was_not_sent() -> None:
    def recovers(_environ: object, start: App) -> Iterable[bytes]:
        start("200 OK", [])
        start("500 Oh", [], (ValueError, ValueError(), None))
        return [b"sorry"]

    exchange = Exchange(TimeLimit(recovers, LONG))
    assert (exchange.status, exchange.read()) == ("500 Oh", b"sorry")

    def too_late(_environ: object, start: App) -> Iterator[bytes]:
        start("200 OK", [])
        yield b"one"
        start("500 Oh", [], (ValueError, ValueError("after all"), None))

    with pytest.raises(ValueError, match="after all"):
        Exchange(TimeLimit(too_late, LONG)).read()

    def twice(_environ: object, start: App) -> Iterable[bytes]:
        start("200 OK", [])
        start("200 OK", [])
        return []

    with pytest.raises(AssertionError, match="twice"):
        Exchange(TimeLimit(twice, LONG))


def late_start(_environ: object, start: App) -> Iterator[bytes]:
    """Call start_response when the first part is asked for, and not before."""
    start("200 OK", [("Content-Type", "text/plain")])
    yield b"late"


def plain(_environ: object, start: App) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"late"]


def empty(_environ: object, start: App) -> Iterable[bytes]:
    start("204 No Content", [])
    return []


def writing(_environ: object, start: App) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])(b"late")
    return []


@pytest.mark.parametrize("app", [late_start, plain, empty, writing])
@pytest.mark.parametrize("bound", [lambda app: AtOnce(app, 1, 0), lambda app: TimeLimit(app, LONG)])
def test_it_keeps_to_the_rules_of_wsgi(app: App, bound: Callable[[App], App]) -> None:
    bounded = bound(validator(app))
    for _ in range(2):  # the second time with the slot of the first
        exchange = Exchange(validator(bounded))
        body = exchange.read() + b"".join(exchange.written)
        assert body == (b"" if app is empty else b"late")
        assert exchange.status == ("204 No Content" if app is empty else "200 OK")
