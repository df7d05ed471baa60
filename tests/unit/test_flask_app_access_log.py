"""The app's access log: what a line says, and that nothing and nobody gets in between."""

import io
import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

import access_log
from access_log import PIECE, AccessLog, Lines, as_combined, as_json

DEADLINE = 30.0

App = Callable[..., Any]


class Log:
    """An access log whose lines are kept."""

    def __init__(self, app: App, monkeypatch: pytest.MonkeyPatch, **how: Any) -> None:
        self.lines: list[str] = []
        kept = self.lines

        class Kept:
            def __init__(self, descriptor: int) -> None:
                assert descriptor in {1, 2}

            def add(self, line: str) -> None:
                kept.append(line)

        monkeypatch.setattr(access_log, "Lines", Kept)
        self.app: App = AccessLog(app, **how)
        self.headers: dict[str, str] = {}
        self.written: list[bytes] = []

    def get(self, path: str = "/", method: str = "GET", **environ: Any) -> bytes:
        given: dict[str, Any] = {"PATH_INFO": path, "REQUEST_METHOD": method, "QUERY_STRING": ""}
        given["SCRIPT_NAME"] = ""
        setup_testing_defaults(given)
        given |= {"REMOTE_ADDR": "192.0.2.1", **environ}

        def start(_status: str, headers: list[tuple[str, str]], _error: Any = None) -> Any:
            self.headers = dict(headers)
            return self.written.append

        body = self.app(given, start)
        try:
            return b"".join(body)
        finally:
            for _ in range(2):  # the second time nothing happens
                getattr(body, "close", lambda: None)()

    def last(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.lines[-1])
        return value


def hello(_environ: object, start: App) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"hello", b" world"]


def test_a_line_of_json(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(hello, monkeypatch)
    assert log.get("/a", QUERY_STRING="token=secret") == b"hello world"
    (line,) = log.lines
    record = log.last()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.pop("time"))
    assert 0 < record.pop("seconds") < DEADLINE
    assert record.pop("id") == log.headers["X-Request-ID"]
    assert record == {
        "remote": "192.0.2.1", "method": "GET", "path": "/a", "status": 200, "bytes": 11,
    }  # fmt: skip
    assert "secret" not in line


def test_a_line_as_apache_writes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(hello, monkeypatch, style="combined")
    log.get("/a", HTTP_REFERER='x" 500', HTTP_USER_AGENT="curl")
    (line,) = log.lines
    assert re.fullmatch(
        r'192\.0\.2\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET /a HTTP/1\.0" 200 11'
        r' "x\\" 500" "curl" \d+\.\d{6} [0-9a-f]{16}',
        line,
    )


def test_a_request_id_is_kept_or_made(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def app(environ: dict[str, str], start: App) -> Iterable[bytes]:
        seen.append(environ["HTTP_X_REQUEST_ID"])
        return hello(environ, start)

    log = Log(app, monkeypatch)
    log.get(HTTP_X_REQUEST_ID="from-the.proxy_1")
    assert log.last()["id"] == seen[-1] == log.headers["X-Request-ID"] == "from-the.proxy_1"
    for bad in ("", "a b", "a\n", 'a"', "x" * 129, "ä"):
        log.get(HTTP_X_REQUEST_ID=bad)
        made = log.last()["id"]
        assert re.fullmatch("[0-9a-f]{16}", made)
        assert seen[-1] == made == log.headers["X-Request-ID"]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("style", ["json", "combined"])
def test_nobody_writes_a_line_of_their_own(monkeypatch: pytest.MonkeyPatch, style: str) -> None:
    log = Log(hello, monkeypatch, style=style)
    every = "".join(map(chr, range(256)))
    for name in ("REMOTE_ADDR", "HTTP_REFERER", "HTTP_USER_AGENT", "SERVER_PROTOCOL"):
        log.get(f"/{every}", f"GET{every}", **{name: every})
    log.get("/" + "x" * 10_000, HTTP_USER_AGENT="\n" * 10_000, HTTP_REFERER="ä" * 10_000)
    for line in log.lines:
        assert all(" " <= character <= "~" for character in line)
        assert len(line) < PIECE
        if style == "json":
            json.loads(line)
        else:
            quoted = r'"(?:[^"\\]|\\.)*"'
            assert re.fullmatch(
                rf"\S+ - - \[[^]]*\] {quoted} 200 11 {quoted} {quoted} \S+ \S+", line
            )


def test_a_path_is_read_as_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(hello, monkeypatch)
    log.get("/größe".encode().decode("latin-1"), SCRIPT_NAME="/shop")
    assert log.last()["path"] == "/shop/größe"
    log.get("/\xff")
    assert log.last()["path"] == "/\N{REPLACEMENT CHARACTER}"


def test_every_way_to_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_environ: object, _start: App) -> Iterable[bytes]:
        raise ValueError

    def fails_in_the_middle(_environ: object, start: App) -> Iterator[bytes]:
        start("200 OK", [])
        yield b"one"
        raise ValueError

    def writes(_environ: object, start: App) -> Iterable[bytes]:
        start("201 Created", [])(b"written")
        return []

    def late_start(_environ: object, start: App) -> Iterator[bytes]:
        start("202 Accepted", [])
        yield b"late"

    def again(_environ: object, start: App) -> Iterable[bytes]:
        start("200 OK", [])
        start("503 Oh", [], (ValueError, ValueError(), None))
        return [b"sorry"]

    for app, status, size in (
        (fails, 500, 0), (fails_in_the_middle, 200, 3), (writes, 201, 7), (late_start, 202, 4),
        (again, 503, 5),
    ):  # fmt: skip
        log = Log(app, monkeypatch)
        with suppress(ValueError):
            log.get()
        assert len(log.lines) == 1, app
        assert (log.last()["status"], log.last()["bytes"]) == (status, size), app


def test_a_file_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO(b"of a file")

    def app(environ: dict[str, Any], start: App) -> Any:
        start("200 OK", [("content-length", "9")])
        return environ["wsgi.file_wrapper"](file)

    log = Log(app, monkeypatch)
    seen = []
    inner = log.app

    def server(environ: object, start: App) -> Any:
        seen.append(inner(environ, start))
        return seen[-1]

    log.app = server
    as_is: dict[str, Any] = {"wsgi.file_wrapper": lambda file: file}
    assert log.get(**as_is) == b"of a file"
    assert seen == [file]
    assert file.closed
    assert log.last()["bytes"] == 9
    assert len(log.lines) == 1


def test_what_is_not_to_be_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(hello, monkeypatch, skip=["/healthz"])
    log.get("/healthz")
    assert log.lines == []
    log.get("/healthz/")
    assert len(log.lines) == 1
    for wrong in ({"style": "xml"}, {"stream": "/var/log/x"}):
        with pytest.raises(ValueError, match="ACCESS_LOG"):
            AccessLog(hello, **wrong)


def test_what_the_bounds_did_is_in_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(hello, monkeypatch)
    log.get(**{"bounds.outcome": "refused"})
    assert log.last()["outcome"] == "refused"


def test_it_keeps_to_the_rules_of_wsgi(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log(validator(hello), monkeypatch)
    log.app = validator(log.app)
    assert log.get() == b"hello world"
    assert set(access_log.FORMATS.values()) == {as_json, as_combined}


@pytest.fixture(name="pipe")
def _pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for each in (reader, writer):
        with suppress(OSError):
            os.close(each)


def read_lines(reader: int, count: int) -> list[str]:
    until = time.monotonic() + DEADLINE
    text = b""
    while text.count(b"\n") < count:
        assert time.monotonic() < until, text
        if select.select([reader], [], [], 0.1)[0]:
            text += os.read(reader, 65536)
    return text.decode().splitlines()


def test_lines_arrive_whole_and_in_order(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    lines = Lines(writer)
    wanted = [f"{number} " + "x" * (number % 300) for number in range(1000)]
    for line in wanted:
        lines.add(line)
    assert read_lines(reader, 1000) == wanted
    lines.add("after a rest")
    assert read_lines(reader, 1) == ["after a rest"]


def test_pieces_are_whole_lines_that_a_pipe_keeps_together() -> None:
    lines = Lines(1)
    for number in range(500):
        lines._waiting.append(f"{number:0100}")
    lines._waiting.append("y" * 2 * PIECE)
    lines._waiting.append("z")
    pieces = list(lines._pieces())
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert [piece for piece in pieces if len(piece) > PIECE] == [b"y" * 2 * PIECE + b"\n"]
    assert b"".join(pieces).count(b"\n") == 502
    assert len(pieces) < 20


def test_who_stands_still_at_the_other_end_holds_nobody_up(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = pipe
    monkeypatch.setattr(access_log, "MOST", 5000)
    lines = Lines(writer)
    size = 200
    began = time.monotonic()
    for _ in range(20_000):
        lines.add("x" * size)
    assert time.monotonic() - began < DEADLINE / 2
    assert len(lines._waiting) <= 5000
    seen = ""
    until = time.monotonic() + DEADLINE
    while "dropped_lines" not in seen:
        assert time.monotonic() < until
        lines.add("more")
        seen += "\n".join(read_lines(reader, 1)) + "\n"
    dropped = re.search(r'^\{"dropped_lines":(\d+)\}$', seen, re.MULTILINE)
    assert dropped
    assert int(dropped[1]) >= 10_000


def test_a_reader_that_is_gone_is_no_error(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.close(reader)
    lines = Lines(writer)
    lines.add("nobody reads this")
    until = time.monotonic() + DEADLINE
    while lines._waiting:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert lines._thread
    assert lines._thread.is_alive()


FORKS = """
import os
from access_log import Lines

lines = Lines(1)
lines._some.set()  # as if the thread were about to write
lines.add("of the parent")
child = os.fork()
if child == 0:
    lines._write()
    lines.add("of the child")
else:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_a_fork_writes_no_line_of_its_parent_and_all_end_with_the_process() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FORKS],
        cwd=Path(access_log.__file__).parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE,
    )
    assert ended.stdout.splitlines() == ["of the child", "of the parent"]
