"""The client of the app, against a service that does what a test tells it to, byte by byte."""

import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from http_client import HttpClient, ProtocolError, Response
from tests.integration.app_support import DEADLINE, FLASK_APP, eventually

pytestmark = pytest.mark.integration

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CLOSE, RESET, SILENCE, LATE = object(), object(), object(), object()
"""Instead of an answer; LATE: an answer that nobody asked for."""
Step = bytes | object


@dataclass
class Service:
    """Answers each connection's requests by its script; the last script serves all that follow."""

    scripts: list[list[Step]]
    tls: ssl.SSLContext | None = None
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    closed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator["Service"]:
        with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
            self.port = listener.getsockname()[1]
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
            try:
                yield self
            finally:
                self.ended.set()
                listener.shutdown(socket.SHUT_RDWR)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = listener.accept()
                with self.lock:
                    script = self.scripts[min(self.connections, len(self.scripts) - 1)]
                    self.connections += 1
                serve = threading.Thread(target=self._serve, args=(accepted, script), daemon=True)
                serve.start()

    def _serve(self, accepted: socket.socket, script: list[Step]) -> None:
        with suppress(OSError), accepted:
            stream = self.tls.wrap_socket(accepted, server_side=True) if self.tls else accepted
            with stream:
                self._play(stream, script)
        with self.lock:
            self.closed += 1

    def _play(self, stream: socket.socket, script: list[Step]) -> None:
        for step in script:
            if step is not LATE:
                self._read(stream)
            if step is CLOSE:
                return
            if step is RESET:
                at_once = struct.pack("ii", 1, 0)
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
                return
            if isinstance(step, bytes):
                stream.sendall(step)
            elif step is LATE:
                stream.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
            else:
                self.ended.wait(DEADLINE)

    def _read(self, stream: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            part = stream.recv(65536)
            if not part:
                raise OSError("closed by the client")
            head += part
        with self.lock:
            self.requests.append(head)


@contextmanager
def service(*scripts: list[Step], tls: ssl.SSLContext | None = None) -> Iterator[Service]:
    with Service(list(scripts), tls).running() as running:
        yield running


Connect = Callable[..., HttpClient]


@pytest.fixture(name="connect")
def _connect() -> Iterator[Connect]:
    """Make clients that are closed with the test."""
    with ExitStack() as stack:

        def connect(url: str, **options: Any) -> HttpClient:
            return stack.enter_context(closing(HttpClient(url, **options)))

        yield connect


def answers(count: int = 100) -> list[Step]:
    return [OK] * count


def text(response: Response) -> tuple[int, bytes]:
    return response.status, response.body


# ---- what is sent, and what is read ----------------------------------------------------------


def test_a_request_is_plain_and_its_connection_is_kept(connect: Connect) -> None:
    with service(answers()) as api:
        client = connect(api.url)
        assert [text(client.get("/a?b=c")) for _ in range(3)] == [(200, b"hello")] * 3
        assert api.connections == 1
        assert (
            api.requests[0]
            == (
                f"GET /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\n"
                "Accept-Encoding: identity\r\n\r\n"
            ).encode()
        )


def test_the_url_may_have_a_path_and_a_password(connect: Connect) -> None:
    with service(answers()) as api:
        client = connect(f"http://me:p%40ss@127.0.0.1:{api.port}/v1/")
        client.get("/a", headers={"X-Request-Id": "7"})
        assert api.requests[0].startswith(b"GET /v1/a HTTP/1.1\r\n")
        assert b"\r\nAuthorization: Basic bWU6cEBzcw==\r\n" in api.requests[0]
        assert api.requests[0].endswith(b"\r\nX-Request-Id: 7\r\n\r\n")


def test_a_body_goes_along(connect: Connect) -> None:
    with service(answers()) as api:
        client = connect(api.url)
        client.request("POST", "/", body=b"x=1", headers={"Content-Type": "text/plain"})
        assert b"\r\nContent-Length: 3\r\n\r\nx=1" in api.requests[0]
        client.request("PUT", "/")
        assert b"\r\nContent-Length: 0\r\n" in api.requests[1]


@pytest.mark.parametrize(
    ("raw", "status", "body", "kept"),
    [
        (OK, 200, b"hello", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", 304, b"", True),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n",
            200, b"hello", True,
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"hello", True),
        (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK, 200, b"hello", True),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno", 500, b"no", True),
        (OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), 200, b"hello", False),
        (OK.replace(b"1.1", b"1.0"), 200, b"hello", False),
        # more than was asked for: the next call must not take it for its answer
        (OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 200, b"hello", False),
    ],
)  # fmt: skip
def test_responses(connect: Connect, raw: bytes, status: int, body: bytes, kept: bool) -> None:
    with service([raw, raw], [raw]) as api:
        client = connect(api.url)
        for _ in range(2):
            assert text(client.get("/")) == (status, body)
        assert api.connections == (1 if kept else 2)


def test_a_body_without_a_length_ends_with_the_connection(connect: Connect) -> None:
    with service([b"HTTP/1.1 200 OK\r\n\r\nuntil the end"[:-4]]) as api:
        assert text(connect(api.url).get("/")) == (200, b"until the")


def test_a_large_body_in_many_parts(connect: Connect) -> None:
    body = os.urandom(3_000_000)
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + body
    with service([raw, raw]) as api:
        client = connect(api.url)
        assert [client.get("/").body == body for _ in range(2)] == [True, True]
        assert api.connections == 1


def test_a_large_body_is_sent_whole(connect: Connect) -> None:
    with service([SILENCE]) as api:
        with pytest.raises(TimeoutError):
            connect(api.url, timeout=0.5).request("POST", "/", body=bytes(50_000_000))
        assert api.connections == 1


def test_headers_by_name(connect: Connect) -> None:
    raw = OK.replace(b"\r\n\r\n", b"\r\nX-One: \xe9\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\r\n")
    with service([raw, OK]) as api:
        client = connect(api.url)
        headers = client.get("/").headers
        assert headers == {"content-length": "5", "x-one": "é", "set-cookie": "a=1, b=2"}
        client.get("/")
        assert b"cookie" not in api.requests[1].lower()


# ---- what cannot be sent ---------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "x", "http://other/", "/a b", "/a\r\nX: y", "/é", "/\0"])
def test_no_path(path: str) -> None:
    with pytest.raises(ValueError, match="is no path"):
        HttpClient("http://127.0.0.1:1").get(path)


@pytest.mark.parametrize("header", [("X", "a\r\nY: b"), ("X Y", "a"), ("X:", "a"), ("", "a")])
def test_no_header(connect: Connect, header: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="not fit for a header"):
        connect("http://127.0.0.1:1").get("/", headers=dict([header]))


@pytest.mark.parametrize("method", ["HEAD", "CONNECT", "get", "GET /x"])
def test_no_method(connect: Connect, method: str) -> None:
    with pytest.raises(ValueError, match="allowed are DELETE, GET"):
        connect("http://127.0.0.1:1").request(method, "/")


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:80", "ftp://x", "http://", "http://x:port", "http://x/?a", "http://[::"]
)
def test_no_url(connect: Connect, url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|form"):
        connect(url)
    if url:
        with pytest.raises(ValueError, match=r"URL|form"):
            connect("http://x", proxy=url)


# ---- failures --------------------------------------------------------------------------------


def test_nothing_listens(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        connect(f"http://127.0.0.1:{port}").get("/")


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
    ],
)
def test_half_an_answer_or_none_is_an_error(connect: Connect, raw: bytes) -> None:
    with service([raw], answers()) as api:
        client = connect(api.url)
        with pytest.raises(ProtocolError):
            client.get("/")
        assert text(client.get("/")) == (200, b"hello")
        assert len(api.requests) == 2, "what had begun to answer was asked again"


@pytest.mark.parametrize("script", [[SILENCE], [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"]])
def test_silence_is_a_timeout_and_is_not_repeated(connect: Connect, script: list[Step]) -> None:
    with service([OK, *script, SILENCE], answers()) as api:
        client = connect(api.url)
        client.get("/")
        with pytest.raises(TimeoutError):
            client.get("/", timeout=0.2)
        assert len(api.requests) == 2
        assert text(client.get("/")) == (200, b"hello")
        assert api.connections == 2, "a connection whose answer is still to come was used again"


@pytest.mark.parametrize("broken", [CLOSE, RESET])
def test_a_stale_connection_costs_no_request_that_may_be_repeated(
    connect: Connect, broken: object
) -> None:
    with service([OK, broken], answers()) as api:
        client = connect(api.url)
        client.get("/")
        assert text(client.get("/")) == (200, b"hello")
        assert (api.connections, len(api.requests)) == (2, 3)


def test_what_may_not_be_repeated_is_not(connect: Connect) -> None:
    with service([OK, CLOSE], answers()) as api:
        client = connect(api.url)
        client.get("/")
        with pytest.raises(ConnectionError):
            client.request("POST", "/")
        assert len(api.requests) == 2


def test_a_new_connection_that_breaks_is_not_repeated(connect: Connect) -> None:
    with service([CLOSE], answers()) as api:
        with pytest.raises(ProtocolError):
            connect(api.url).get("/")
        assert len(api.requests) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the request shows it")
def test_connections_that_have_been_closed_are_not_used(connect: Connect) -> None:
    with service([OK], answers()) as api:
        client = connect(api.url)
        client.get("/")
        eventually(lambda: api.closed == 1, "the service closes")
        # no safe guess: a POST would not be repeated
        eventually(lambda: not client._idle[-1].is_open(), "the client learns of it")
        assert client.request("POST", "/").status == 200


def test_what_nobody_asked_for_is_not_taken_for_an_answer(connect: Connect) -> None:
    with service([OK, LATE, SILENCE], answers()) as api:
        client = connect(api.url)
        client.get("/")
        # it came with the answer before it, or after that
        eventually(
            lambda: not (client._idle and client._idle[-1].is_silent()), "the client sees it"
        )
        assert text(client.get("/")) == (200, b"hello")
        assert api.connections == 2


# ---- redirects -------------------------------------------------------------------------------


def redirect(to: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()


def test_redirects_are_followed_only_as_often_as_asked(connect: Connect) -> None:
    with service([redirect("/b?c=d"), redirect("e"), OK]) as api:
        assert connect(api.url).get("/a").status == 302
    with service([redirect("/b?c=d"), redirect("e"), OK]) as api:
        assert connect(api.url, redirects=1).get("/a").status == 302
    with service([redirect("/b/?c=d"), redirect("e"), OK]) as api:
        assert text(connect(api.url, redirects=5).get("/a")) == (200, b"hello")
        lines = [request.split(b" HTTP")[0] for request in api.requests]
        assert lines == [b"GET /a", b"GET /b/?c=d", b"GET /b/e"]


@pytest.mark.parametrize("goal", ["http://127.0.0.2/", "//other/", "https://127.0.0.1/", "ftp:x"])
def test_no_redirect_leaves_the_service(connect: Connect, goal: str) -> None:
    with service([redirect(goal), OK]) as api:
        with pytest.raises(ProtocolError, match="another service"):
            connect(api.url, redirects=5).get("/")
        assert len(api.requests) == 1


@pytest.mark.parametrize("goal", ["http://[bad", "http://127.0.0.1:99999/", "/a b"])
def test_a_redirect_to_what_is_no_url_blames_the_service(connect: Connect, goal: str) -> None:
    with service([redirect(goal), OK]) as api, pytest.raises(ProtocolError, match="no URL"):
        connect(api.url, redirects=5).get("/")


def test_a_redirect_stays_below_the_services_own_path(connect: Connect) -> None:
    with service([redirect("/api?page=2"), OK, redirect("/apix")]) as api:
        client = connect(f"{api.url}/api", redirects=5)
        assert client.get("/").status == 200
        assert api.requests[1].split(b" HTTP")[0] == b"GET /api/?page=2"
        with pytest.raises(ProtocolError, match="another service"):
            client.get("/")


# ---- TLS and proxies -------------------------------------------------------------------------


@pytest.fixture(name="certificate", scope="module")
def _certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", str(key), "-out", str(certificate), "-subj", "/CN=flask-bench test"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return key, certificate


@pytest.fixture(name="server_tls")
def _server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[1], certificate[0])
    return context


def trusting(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate[1]))


def test_tls_is_verified(connect: Connect, server_tls: ssl.SSLContext) -> None:
    with service(answers(), tls=server_tls) as api, pytest.raises(ssl.SSLCertVerificationError):
        connect(api.url).get("/")
    assert api.requests == []


def test_the_name_is_verified_too(
    connect: Connect, certificate: tuple[Path, Path], server_tls: ssl.SSLContext
) -> None:
    with service(answers(), tls=server_tls) as api:
        client = connect(f"https://localhost:{api.port}", tls=trusting(certificate))
        with pytest.raises(ssl.SSLCertVerificationError, match="localhost"):
            client.get("/")


@pytest.mark.parametrize("broken", [CLOSE, RESET])
def test_tls_connections_are_kept_and_repeated(
    connect: Connect, certificate: tuple[Path, Path], server_tls: ssl.SSLContext, broken: object
) -> None:
    with service([OK, OK, broken], answers(), tls=server_tls) as api:
        client = connect(api.url, tls=trusting(certificate))
        assert [text(client.get("/")) for _ in range(3)] == [(200, b"hello")] * 3
        assert api.connections == 2


def test_silence_over_tls_is_a_timeout(
    connect: Connect, certificate: tuple[Path, Path], server_tls: ssl.SSLContext
) -> None:
    with service([SILENCE], tls=server_tls) as api, pytest.raises(TimeoutError):
        connect(api.url, tls=trusting(certificate), timeout=0.3).get("/")


def test_a_proxy_gets_the_whole_url_and_its_own_password(connect: Connect) -> None:
    with service(answers()) as proxy:
        client = connect("http://api.test:81/v1", proxy=f"http://me:x@127.0.0.1:{proxy.port}")
        assert client.get("/a").status == 200
        assert proxy.requests[0].startswith(b"GET http://api.test:81/v1/a HTTP/1.1\r\n")
        assert b"\r\nHost: api.test:81\r\n" in proxy.requests[0]
        assert b"\r\nProxy-Authorization: Basic bWU6eA==\r\n" in proxy.requests[0]


class Tunnel(Service):
    """A proxy that opens a tunnel to a port of this machine, whatever it is asked for."""

    goal: int = 0

    def _serve(self, accepted: socket.socket, script: list[Step]) -> None:
        del script
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.goal)) as onward:
            self._read(accepted)
            accepted.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self._copy, args=(onward, accepted), daemon=True)
            back.start()
            self._copy(accepted, onward)

    @staticmethod
    def _copy(source: socket.socket, goal: socket.socket) -> None:
        with suppress(OSError):
            while part := source.recv(65536):
                goal.sendall(part)


def test_tls_goes_through_a_tunnel(
    connect: Connect, certificate: tuple[Path, Path], server_tls: ssl.SSLContext
) -> None:
    with service(answers(), tls=server_tls) as api, Tunnel([[]]).running() as proxy:
        assert isinstance(proxy, Tunnel)
        proxy.goal = api.port
        url = f"http://me:x@127.0.0.1:{proxy.port}"
        client = connect(api.url, proxy=url, tls=trusting(certificate))
        assert [text(client.get("/")) for _ in range(2)] == [(200, b"hello")] * 2
        assert len(proxy.requests) == 1
        assert proxy.requests[0].startswith(f"CONNECT 127.0.0.1:{api.port} HTTP/1.1\r\n".encode())
        assert b"Proxy-Authorization" not in b"".join(api.requests)


def test_a_proxy_that_refuses_the_tunnel(connect: Connect) -> None:
    no = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    with service([no]) as proxy, pytest.raises(ProtocolError, match="407"):
        connect("https://api.test", proxy=proxy.url).get("/")


# ---- at once ---------------------------------------------------------------------------------


def test_threads_share_it(connect: Connect) -> None:
    with service(answers(1000)) as api:
        client = connect(api.url)
        with ThreadPoolExecutor(50) as pool:
            found = list(pool.map(lambda _: text(client.get("/")), range(1000)))
        assert found == [(200, b"hello")] * 1000
        assert api.connections <= 50


def test_a_failed_look_up_fails_all_who_waited_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    begun, release = threading.Event(), threading.Event()

    def look_up(*_: object, **__: object) -> object:
        asked.append(1)
        begun.set()
        release.wait(DEADLINE)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    client = HttpClient("http://shop.invalid", connect_timeout=DEADLINE)
    with ThreadPoolExecutor(20) as pool:
        calls = [pool.submit(client.get, "/") for _ in range(20)]
        assert begun.wait(DEADLINE)
        eventually(pool._work_queue.empty, "all have begun")
        release.set()
        assert {type(call.exception()) for call in calls} == {socket.gaierror}
    assert len(asked) <= 10  # some may have come just after the failure
    with pytest.raises(socket.gaierror):
        client.get("/")


def test_a_look_up_is_waited_for_no_longer_than_a_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, release = threading.Event(), threading.Event()

    def look_up(*_: object, **__: object) -> object:
        begun.set()
        release.wait(DEADLINE)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    client = HttpClient("http://shop.invalid", connect_timeout=0.1)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.get, "/")
        assert begun.wait(DEADLINE)
        with pytest.raises(TimeoutError, match="looked up"):
            client.get("/")
        release.set()
        assert isinstance(first.exception(), socket.gaierror)


def test_no_more_idle_connections_are_kept_than_the_pool_holds(connect: Connect) -> None:
    with service([SILENCE], [OK] * 3) as api:
        client = connect(api.url, pool_size=0)
        with pytest.raises(TimeoutError):
            client.get("/", timeout=0.1)
        assert [client.get("/").status for _ in range(2)] == [200, 200]
        assert api.connections == 3


def run_python(program: str, **environment: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(FLASK_APP), **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE * 2,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


FORK = """
import os
from http_client import HttpClient
client = HttpClient(os.environ["URL"])
client.get("/")
child = os.fork()
body = client.get("/").body
if not child:
    os._exit(body != b"hello")
print(os.waitpid(child, 0)[1])
"""


@pytest.mark.parametrize("patch", ["", "from gevent import monkey; monkey.patch_all()\n"])
def test_a_child_opens_connections_of_its_own(patch: str) -> None:
    with service(answers()) as api:
        assert run_python(patch + FORK, URL=api.url) == "0\n"
        assert (api.connections, len(api.requests)) == (2, 3)


KILLED = """
from gevent import monkey
monkey.patch_all()
import os, gevent
from http_client import HttpClient
client = HttpClient(os.environ["URL"])
client.get("/")
call = gevent.spawn(client.get, "/slow")
with gevent.Timeout(0.2, False):
    call.join()
call.kill()
with gevent.Timeout(0.2, False):
    client.get("/slow")
print(len(client._idle), client.get("/").body)
calls = [gevent.spawn(client.get, "/") for _ in range(100)]
gevent.joinall(calls, raise_error=True)
print({call.value.body for call in calls})
"""


def test_a_killed_greenlet_leaves_no_half_read_connection() -> None:
    with service([OK, SILENCE], [SILENCE], answers(200)) as api:
        assert run_python(KILLED, URL=api.url) == "0 b'hello'\n{b'hello'}\n"
        assert api.connections <= 2 + 100


GREEN_TLS = """
from gevent import monkey
monkey.patch_all()
import os, ssl
from http_client import HttpClient
tls = ssl.create_default_context(cafile=os.environ["CERTIFICATE"])
client = HttpClient(os.environ["URL"], tls=tls, timeout=0.5)
print(client.get("/").status, client.get("/").status)
try:
    client.get("/")
except TimeoutError as error:
    print("timeout")
"""


def test_tls_under_gevent(certificate: tuple[Path, Path], server_tls: ssl.SSLContext) -> None:
    with service([OK, OK, SILENCE], tls=server_tls) as api:
        found = run_python(GREEN_TLS, URL=api.url, CERTIFICATE=str(certificate[1]))
        assert found == "200 200\ntimeout\n"


@pytest.mark.parametrize(
    "settings",
    [{"API_URL": "{url}"}, {"API_URL": "http://api.test", "API_PROXY": "{url}"}],
)
def test_the_settings_of_the_app(settings: Mapping[str, str]) -> None:
    program = "import upstream; print(upstream.get('/a'))"
    with service([redirect("/b"), OK]) as api:
        given = {name: value.format(url=api.url) for name, value in settings.items()}
        assert run_python(program, API_REDIRECTS="1", **given) == "b'hello'\n"
        assert len(api.requests) == 2
