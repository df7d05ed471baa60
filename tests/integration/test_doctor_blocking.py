"""Real apps, each with one fault, served and requested: what blocks is found, with its line."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from bench.doctor.blocking import CHECKS, probe_url
from bench.doctor.findings import Finding
from bench.errors import TrialError, UsageError
from bench.own_app.app import OwnApp
from bench.processes.guardian import Guardian
from tests.integration.app_support import FLASK_APP, HeldApi

pytestmark = pytest.mark.integration

SHOP = '''\
"""Routes with one fault each, and some without."""

import ctypes
import os
import socket
import subprocess
import sys
import threading
import time

from flask import Flask, redirect

app = Flask(__name__)
libc = ctypes.CDLL(None)
lock = threading.Lock()
kept = []


@app.get("/fine")
def fine():
    time.sleep(0.05)
    return "ok"


@app.get("/waits")
def waits():
    in_the_library(150_000)
    return "ok"


def in_the_library(microseconds):
    libc.usleep(microseconds)


@app.get("/computes")
def computes():
    end = time.thread_time() + 0.15
    while time.thread_time() < end:
        sum(range(1000))
    return "ok"


@app.get("/locked")
def locked():
    with lock:
        time.sleep(0.05)
    return "ok"


@app.get("/leaks")
def leaks():
    kept.append(os.open(__file__, os.O_RDONLY))
    return "ok"


@app.get("/connects")
def connects():
    with socket.create_connection(("127.0.0.1", int(os.environ["OTHER"]))):
        return "ok"


@app.get("/forks")
def forks():
    subprocess.run([sys.executable, "-S", "-c", ""], check=True)
    return "ok"


@app.get("/fails")
def fails():
    raise RuntimeError("broken")


@app.get("/elsewhere")
def elsewhere():
    return redirect("/login")


@app.get("/lets-go")
def lets_go():
    if not kept:
        kept.append(libc.usleep(1_600_000))
    time.sleep(600)
    return "never"


@app.get("/stuck")
def stuck():
    libc.usleep(600_000_000)
    return "never"
'''


@pytest.fixture(name="guardian", scope="module")
def _guardian() -> Iterator[Guardian]:
    with Guardian() as guardian:
        yield guardian


@pytest.fixture(name="shop", scope="module")
def _shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(SHOP)
    return folder


def line_of(text: str) -> int:
    (number,) = (n for n, line in enumerate(SHOP.splitlines(), start=1) if text in line)
    return number


def ids(findings: Sequence[Finding]) -> list[str]:
    return [finding.check.id for finding in findings]


def of(findings: Sequence[Finding], check: str) -> Finding:
    (finding,) = (each for each in findings if each.check.id == check)
    assert finding.fix
    return finding


@contextmanager
def listening() -> Iterator[int]:
    """Something to connect to, that takes every connection."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:

        def take() -> None:
            with listener:
                try:
                    while True:
                        connection, _ = listener.accept()
                        connection.close()
                except OSError:
                    return

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_an_app_that_waits_as_gevent_wants_it_is_clean(shop: Path, guardian: Guardian) -> None:
    before = sorted(shop.iterdir())
    assert probe_url(OwnApp("shop:app", shop), "/fine", guardian=guardian) == ()
    assert sorted(shop.iterdir()) == before  # nothing was written there


def test_a_wait_in_a_library_is_found_at_its_line(shop: Path, guardian: Guardian) -> None:
    findings = probe_url(OwnApp("shop:app", shop), "/waits", guardian=guardian, requests=4)
    assert ids(findings) == ["loop-waits", "serialised"]
    waits = of(findings, "loop-waits")
    (place,) = waits.evidence
    assert (place.file, place.line) == (str(shop / "shop.py"), line_of("libc.usleep(microseconds)"))
    assert place.text == "libc.usleep(microseconds)"
    assert "in_the_library()" in waits.message
    assert "what they wait for" in of(findings, "serialised").fix


def test_computing_is_told_from_waiting(shop: Path, guardian: Guardian) -> None:
    findings = probe_url(OwnApp("shop:app", shop), "/computes", guardian=guardian, requests=4)
    assert "loop-waits" not in ids(findings)
    (place,) = of(findings, "loop-computes").evidence
    assert place.file == str(shop / "shop.py")
    assert place.line in {line_of("while time.thread_time()"), line_of("sum(range(1000))")}
    assert "workers" in of(findings, "serialised").fix


def test_a_lock_makes_requests_wait_in_turn_without_blocking(
    shop: Path, guardian: Guardian
) -> None:
    findings = probe_url(OwnApp("shop:app", shop), "/locked", guardian=guardian, requests=4)
    assert ids(findings) == ["serialised"]


def test_what_is_left_open_is_counted(shop: Path, guardian: Guardian) -> None:
    findings = probe_url(OwnApp("shop:app", shop), "/leaks", guardian=guardian)
    assert ids(findings) == ["files-left-open"]
    left = of(findings, "files-left-open")
    assert "12 descriptors" in left.message
    assert left.evidence[0].text == f"12 × {shop / 'shop.py'}"


def test_connections_are_counted_with_who_opens_them(shop: Path, guardian: Guardian) -> None:
    with listening() as port:
        app = OwnApp("shop:app", shop, environment={"OTHER": str(port)})
        findings = probe_url(app, "/connects", guardian=guardian)
    assert ids(findings) == ["outgoing-connection-per-request"]
    opened = of(findings, "outgoing-connection-per-request")
    assert f"12 connections (127.0.0.1:{port})" in opened.message
    assert opened.evidence[0].line == line_of("socket.create_connection")


def test_processes_are_counted(shop: Path, guardian: Guardian) -> None:
    findings = probe_url(OwnApp("shop:app", shop), "/forks", guardian=guardian, requests=4)
    assert "process-per-request" in ids(findings)
    assert of(findings, "process-per-request").evidence[0].line == line_of("subprocess.run")


@pytest.mark.parametrize(("path", "told"), [("/fails", "500"), ("/elsewhere", "302 to /login")])
def test_an_answer_that_proves_little_is_told(
    shop: Path, guardian: Guardian, path: str, told: str
) -> None:
    findings = probe_url(OwnApp("shop:app", shop), path, guardian=guardian)
    assert ids(findings) == ["probe-status"]
    assert f"status {told}" in findings[0].message


def test_an_app_that_never_answers_is_ended_and_blamed(shop: Path, guardian: Guardian) -> None:
    findings = probe_url(OwnApp("shop:app", shop), "/stuck", guardian=guardian, seconds=4.0)
    assert ids(findings) == ["probe-no-answer", "loop-waits"]
    assert findings[1].evidence[0].line == line_of("libc.usleep(600_000_000)")
    assert not [
        child
        for child in psutil.Process().children(recursive=True)
        if "served" in str(child.cmdline())
    ]


def test_who_has_let_go_is_not_blamed_for_what_waits_later(shop: Path, guardian: Guardian) -> None:
    findings = probe_url(OwnApp("shop:app", shop), "/lets-go", guardian=guardian, seconds=6.0)
    assert ids(findings) == ["probe-no-answer"]


def test_the_demo_app_is_clean(guardian: Guardian) -> None:
    held = HeldApi()
    held.release.set()  # it answers at once
    with held.running() as api:
        app = OwnApp("app:app", FLASK_APP, environment={"API_URL": f"http://127.0.0.1:{api.port}"})
        assert probe_url(app, "/?delay=0.01", guardian=guardian) == ()
        assert api.seen > 20  # it was really asked


# ---- what cannot be probed -------------------------------------------------------------------


def test_an_app_that_does_not_import_is_an_error_with_its_reason(
    tmp_path: Path, guardian: Guardian
) -> None:
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(TrialError, match="nothing_of_that_name"):
        probe_url(OwnApp("broken:app", tmp_path), "/", guardian=guardian)


def test_an_interpreter_without_gevent_is_told_how_to_get_it(
    tmp_path: Path, guardian: Guardian
) -> None:
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True
    )
    python = tmp_path / "venv/bin/python"
    (tmp_path / "shop.py").write_text("app = None\n")
    with pytest.raises(UsageError, match=f"{python} -m pip install gevent"):
        probe_url(OwnApp("shop:app", tmp_path, python), "/", guardian=guardian)


def test_a_path_begins_with_a_slash(shop: Path, guardian: Guardian) -> None:
    with pytest.raises(UsageError, match="begins with /"):
        probe_url(OwnApp("shop:app", shop), "orders", guardian=guardian)
    with pytest.raises(UsageError, match="%C3%BC"):
        probe_url(OwnApp("shop:app", shop), "/prüfung", guardian=guardian)


def test_ids_are_unique() -> None:
    assert len({check.id for check in CHECKS}) == len(CHECKS)
