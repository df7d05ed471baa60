"""The pooled calls of ``requests`` do what its own do, and do it over kept connections."""

# ruff: noqa: S113  (calls as they are in apps: without a timeout)

import gc
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

# bound before anything is installed, as an app's modules may have it
from requests import api, get, post, request, sessions
from requests.auth import HTTPDigestAuth
from urllib3 import HTTPConnectionPool

import pooled_requests
from bench.processes.ports import free_port
from tests.integration.app_support import DEADLINE, FLASK_APP, eventually

pytestmark = pytest.mark.integration

BRIEF = 0.2
"""A time limit that is meant to be exceeded."""

FROM_ENVIRONMENT = (
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"),
)


@dataclass(frozen=True)
class Seen:
    """A request, as it reached the server."""

    connection: int
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: str


@dataclass
class Site:
    """An HTTP server whose paths are the situations to be in. It is a proxy as well."""

    scheme: str = "http"
    port: int = 0
    accepted: int = 0
    open: int = 0
    seen: list[Seen] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    connections: set[socket.socket] = field(default_factory=set)
    together: threading.Barrier = field(default_factory=lambda: threading.Barrier(2))

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def paths(self) -> list[str]:
        return [request.path for request in self.seen]

    @contextmanager
    def running(self, context: ssl.SSLContext | None = None) -> Iterator["Site"]:
        class Connection(Visit):
            site = self

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def finish_request(self, request: Any, client_address: Any) -> None:
                if context:
                    request.settimeout(DEADLINE)
                    request = context.wrap_socket(request, server_side=True)
                super().finish_request(request, client_address)
                if context:
                    request.close()

            def handle_error(self, *_: object) -> None:
                """Stay silent: a client that goes away is what many tests are about."""

        with Listener(("127.0.0.1", 0), Connection) as listener:
            self.port = listener.server_port
            thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield self
            finally:
                self.release.set()
                listener.shutdown()
                thread.join()
                with self.lock:
                    for connection in self.connections:
                        with suppress(OSError):
                            connection.shutdown(socket.SHUT_RDWR)


class Visit(BaseHTTPRequestHandler):
    """One connection to the site."""

    protocol_version = "HTTP/1.1"
    timeout = DEADLINE
    site: Site

    def setup(self) -> None:
        super().setup()
        self.served = 0
        with self.site.lock:
            self.site.accepted += 1
            self.site.open += 1
            self.site.connections.add(self.connection)
            self.number = self.site.accepted

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()
        with self.site.lock:
            self.site.open -= 1
            self.site.connections.remove(self.connection)

    def serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        while self.headers.get("Transfer-Encoding") and (size := int(self.rfile.readline(), 16)):
            body += self.rfile.read(size)
            self.rfile.readline()
        if self.headers.get("Transfer-Encoding"):
            self.rfile.readline()
        seen = Seen(
            self.number, self.command, self.path, tuple(self.headers.items()), body.decode()
        )
        with self.site.lock:
            self.site.seen.append(seen)
        parts = urlsplit(self.path)
        if parts.hostname == "stale.invalid":
            self.page_stale(seen, {})
        elif parts.netloc:  # to a proxy
            told = {"proxied": self.path, "headers": dict(self.headers)}
            self.answer(body=json.dumps(told).encode())
        else:
            page: Callable[[Seen, dict[str, list[str]]], None]
            page = getattr(self, "page_" + parts.path.strip("/").replace("-", "_"))
            page(seen, parse_qs(parts.query))
        self.served += 1

    do_GET = do_HEAD = do_OPTIONS = serve  # noqa: N815  (named by the base class)
    do_PUT = do_DELETE = do_PATCH = do_POST = serve  # noqa: N815

    def do_CONNECT(self) -> None:
        with self.site.lock:
            self.site.seen.append(
                Seen(self.number, "CONNECT", self.path, tuple(self.headers.items()), "")
            )
        host, _, port = self.path.partition(":")
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        with socket.create_connection((host, int(port)), timeout=DEADLINE) as upstream:
            back = threading.Thread(target=_pump, args=(upstream, self.connection))
            back.start()
            _pump(self.connection, upstream)
            back.join()

    def answer(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def page_echo(self, seen: Seen, _: Mapping[str, list[str]]) -> None:
        told = {"method": seen.method, "path": seen.path, "body": seen.body}
        self.answer(
            body=json.dumps(told | {"headers": dict(seen.headers)}).encode(),
            Content_Type="application/json",
        )

    def page_cookie(self, *_: object) -> None:
        self.answer(body=b"have one", Set_Cookie="kept=no; Path=/")

    def page_to(self, _: Seen, query: Mapping[str, list[str]]) -> None:
        status = int(query.get("status", ["302"])[0])
        self.answer(status, b"elsewhere", Location=query["url"][0], Set_Cookie="crumb=1; Path=/")

    def page_loop(self, *_: object) -> None:
        self.answer(302, Location="/loop")

    def page_status(self, _: Seen, query: Mapping[str, list[str]]) -> None:
        status = int(query["of"][0])
        self.answer(status, b"" if status == 204 else b"as asked", X_Own="1", Retry_After="1")

    def page_digest(self, seen: Seen, _: Mapping[str, list[str]]) -> None:
        if dict(seen.headers).get("Authorization", "").startswith("Digest "):
            self.answer(body=b"come in")
        else:
            challenge = 'Digest realm="here", nonce="n", qop="auth", algorithm="MD5"'
            self.answer(401, b"who?", WWW_Authenticate=challenge)

    def page_together(self, *_: object) -> None:
        self.site.together.wait(DEADLINE)
        self.answer(body=b"both here")

    def page_held(self, *_: object) -> None:
        self.site.release.wait(DEADLINE)
        with suppress(OSError):
            self.answer(body=b"held")

    def page_half(self, *_: object) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"half ")
        self.wfile.flush()
        self.site.release.wait(DEADLINE)
        with suppress(OSError):
            self.wfile.write(b"full!")

    def page_last(self, *_: object) -> None:
        """Answer, and close without having said so."""
        self.answer(body=b"bye")
        self.close_connection = True

    def page_cut(self, *_: object) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"half ")
        self.close_connection = True

    def page_garbled(self, *_: object) -> None:
        self.wfile.write(b"HTT")
        self.close_connection = True

    def page_break(self, *_: object) -> None:
        self.close_connection = True

    def page_stale(self, seen: Seen, query: Mapping[str, list[str]]) -> None:
        """Answer the first request on a connection, and hang up on any other."""
        if not self.served:
            self.page_echo(seen, query)
            return
        self.close_connection = True
        if "reset" in query:
            linger = (1).to_bytes(4, sys.byteorder) + (0).to_bytes(4, sys.byteorder)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()

    def page_count(self, _: Seen, query: Mapping[str, list[str]]) -> None:
        self.answer(body=str(self.site.paths().count(query["of"][0])).encode())

    def log_message(self, *_: object) -> None:
        """Stay silent."""


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nothing from the environment, and all as it was afterwards."""
    for name in FROM_ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    pooled_requests.uninstall()
    yield
    pooled_requests.uninstall()


@pytest.fixture
def installed() -> None:
    pooled_requests.install()


@pytest.fixture
def site() -> Iterator[Site]:
    with Site().running() as site:
        yield site


@pytest.fixture(scope="session")
def authority() -> Iterator[Path]:
    """A folder with ``key.pem`` and ``cert.pem``, for 127.0.0.1 and localhost, signed by itself."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        command = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
            "-subj /CN=localhost -addext subjectAltName=IP:127.0.0.1,DNS:localhost "
            "-keyout key.pem -out cert.pem"
        )
        subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
        yield folder


@pytest.fixture
def secure(authority: Path) -> Iterator[Site]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "cert.pem", authority / "key.pem")
    with Site("https").running(context) as site:
        yield site


Call = Callable[[], requests.Response]


def outcome(site: Site, call: Call) -> dict[str, Any]:
    """Tell all that a caller and the server can know of a call, but for what differs each time."""
    before = len(site.seen)
    told: dict[str, Any] = {}
    try:
        response = call()
    except Exception as error:  # noqa: BLE001  (whatever it is, it must be the same)
        told["raised"] = type(error)
    else:
        told |= {
            "status": (response.status_code, response.reason, response.url, response.encoding),
            "headers": [(k, v) for k, v in response.headers.items() if k != "Date"],
            "body": response.text,
            "cookies": response.cookies.get_dict(),
            "history": [(r.status_code, r.url, r.cookies.get_dict()) for r in response.history],
            "sent": (response.request.method, dict(response.request.headers)),
            "next": response.next and response.next.url,
        }
    told["seen"] = [(s.method, s.path, s.headers, s.body) for s in site.seen[before:]]
    same = re.sub(
        r"(?<=boundary=)\w{32}|(?<=--)\w{32}|cnonce=\W+\w+|response=\W+\w+", "", str(told)
    )
    return {"raised": told.get("raised"), "told": same, "seen": len(told["seen"])}


def agree(site: Site, call: Call) -> dict[str, Any]:
    """Return what a call comes to, which is the same before and after the installation."""
    pooled_requests.uninstall()
    own = outcome(site, call)
    pooled_requests.install()
    assert outcome(site, call) == own
    assert outcome(site, call) == own  # over a kept connection, and from the caches
    return own


def add_hook(response: requests.Response, **_: object) -> None:
    response.headers["X-Hook"] = "was here"


CALLS: dict[str, Callable[[Site], requests.Response]] = {
    "get": lambda s: get(s.url("/echo")),
    "params": lambda s: get(s.url("/echo?a=1#part"), params={"b": ["2", "ä"], "c": None}),
    "bytes url": lambda s: get(s.url("/echo").encode()),
    "upper case": lambda s: get(s.url("/echo").replace("http:", "HTTP:")),
    "head": lambda s: requests.head(s.url("/echo")),
    "options": lambda s: requests.options(s.url("/echo")),
    "delete": lambda s: requests.delete(s.url("/echo")),
    "form": lambda s: post(s.url("/echo"), data={"a": "1", "b": ["2", "3"]}),
    "json": lambda s: post(s.url("/echo"), json={"a": [1, None]}),
    "put": lambda s: requests.put(s.url("/echo"), data=b"bytes"),
    "patch": lambda s: requests.patch(s.url("/echo"), json=[]),
    "file": lambda s: post(s.url("/echo"), data=BytesIO(b"from a file")),
    "generator": lambda s: post(s.url("/echo"), data=iter([b"one", b"two"])),
    "files": lambda s: post(
        s.url("/echo"),
        data={"a": "1"},
        files={"f": ("name.txt", BytesIO(b"content"), "text/plain", {"X-Part": "1"})},
    ),
    "headers": lambda s: get(s.url("/echo"), headers={"user-agent": "mine", "X-Own": "1"}),
    "header left out": lambda s: requests.request(
        "GET", s.url("/echo"), headers={"Accept-Encoding": None}
    ),
    "cookies": lambda s: get(s.url("/echo"), cookies={"given": "1"}),
    "cookie set": lambda s: get(s.url("/cookie")),
    "basic": lambda s: get(s.url("/echo"), auth=("me", "secret")),
    "basic in url": lambda s: get(s.url("/echo").replace("//", "//me:secret@")),
    "digest": lambda s: get(s.url("/digest"), auth=HTTPDigestAuth("me", "secret")),
    "auth by function": lambda s: get(
        s.url("/echo"), auth=lambda r: (r.headers.update({"X-Auth": "1"}), r)[1]
    ),
    "hooks": lambda s: get(s.url("/echo"), hooks={"response": add_hook}),
    "status 404": lambda s: get(s.url("/status?of=404")),
    "status 204": lambda s: get(s.url("/status?of=204")),
    "status 503 with Retry-After": lambda s: get(s.url("/status?of=503")),
    "redirect": lambda s: get(s.url("/to?url=/echo")),
    "redirect with cookies": lambda s: get(s.url("/to?url=/to?url=/echo"), cookies={"given": "1"}),
    "redirect not followed": lambda s: get(s.url("/to?url=/echo"), allow_redirects=False),
    "redirect of head": lambda s: requests.head(s.url("/to?url=/echo")),
    "redirect of post, 302": lambda s: post(s.url("/to?url=/echo"), data={"a": "1"}),
    "redirect of post, 303": lambda s: post(s.url("/to?status=303&url=/echo"), data={"a": "1"}),
    "redirect of post, 307": lambda s: post(s.url("/to?status=307&url=/echo"), data={"a": "1"}),
    "redirect of file, 308": lambda s: post(
        s.url("/to?status=308&url=/echo"), data=BytesIO(b"from a file")
    ),
    "redirect with auth": lambda s: get(s.url("/to?url=/echo"), auth=("me", "secret")),
    "redirect with auth to another host": lambda s: get(
        s.url("/to?url=" + s.url("/echo", "localhost")), auth=("me", "secret")
    ),
    "redirect for ever": lambda s: get(s.url("/loop")),
    "stream": lambda s: get(s.url("/echo"), stream=True),
    "timeouts kept": lambda s: get(s.url("/echo"), timeout=(DEADLINE, DEADLINE)),
    "read timeout": lambda s: get(s.url("/held"), timeout=BRIEF),
    "read timeout of a pair": lambda s: get(s.url("/held"), timeout=(DEADLINE, BRIEF)),
    "read timeout of a post": lambda s: post(s.url("/held"), timeout=BRIEF),
    "read timeout in the body": lambda s: get(s.url("/half"), timeout=BRIEF),
    "bad timeout": lambda s: get(s.url("/echo"), timeout=(1, 2, 3)),  # type: ignore[arg-type]
    "broken off": lambda s: get(s.url("/break")),
    "broken off in the status": lambda s: get(s.url("/garbled")),
    "broken off in the body": lambda s: get(s.url("/cut")),
    "refused": lambda _: get(f"http://127.0.0.1:{free_port()}/"),
    "no url": lambda _: get("nonsense"),
    "no host": lambda _: get("http://"),
    "bad host": lambda _: get("http://[::1"),
    "bad port": lambda _: get("http://127.0.0.1:99999999/"),
    "unknown scheme": lambda _: get("gopher://127.0.0.1/"),
    "bad header": lambda s: get(s.url("/echo"), headers={"X": "a\nb"}),
    "unknown argument": lambda s: get(s.url("/echo"), colour="red"),  # type: ignore[call-arg]
    "proxy given": lambda s: get("http://away.invalid/x", proxies={"http": s.url("")}),
    "proxy with login": lambda s: get(
        "http://away.invalid/x", proxies={"http": s.url("").replace("//", "//me:secret@")}
    ),
    "proxy down": lambda _: get(
        "http://away.invalid/x", proxies={"http": f"http://127.0.0.1:{free_port()}"}
    ),
    "proxy malformed": lambda _: get("http://away.invalid/x", proxies={"http": "http:///"}),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_comes_to_the_same_as_without(site: Site, name: str) -> None:
    agree(site, lambda: CALLS[name](site))


@pytest.mark.parametrize(
    ("name", "raised"),
    {
        "read timeout": requests.ReadTimeout,
        "refused": requests.ConnectionError,
        "broken off": requests.ConnectionError,
        "redirect for ever": requests.TooManyRedirects,
        "proxy down": requests.exceptions.ProxyError,
        "no url": requests.exceptions.MissingSchema,
    }.items(),
)
def test_these_calls_fail_as_they_should(site: Site, name: str, raised: type[Exception]) -> None:
    # or else agreement would mean little
    assert agree(site, lambda: CALLS[name](site))["raised"] is raised


@pytest.mark.parametrize("name", ["redirect with cookies", "files", "digest", "stream", "json"])
def test_these_calls_succeed(site: Site, name: str) -> None:
    assert agree(site, lambda: CALLS[name](site))["raised"] is None
    assert site.accepted < len(site.seen)


def test_a_connect_that_takes_too_long(site: Site) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        try:
            while True:  # until its queue is full
                waiting.append(socket.socket())
                waiting[-1].settimeout(BRIEF)
                waiting[-1].connect(listener.getsockname())
        except TimeoutError:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            result = agree(site, lambda: get(url, timeout=(BRIEF, DEADLINE)))
        finally:
            for one in waiting:
                one.close()
    assert result["raised"] is requests.ConnectTimeout


PROXIED = "http://away.invalid/x"


@pytest.mark.parametrize(
    ("environment", "url", "options"),
    [
        ({"HTTP_PROXY": "{proxy}"}, PROXIED, {}),
        ({"http_proxy": "{proxy}"}, PROXIED, {}),
        ({"ALL_PROXY": "{proxy}"}, PROXIED, {}),
        ({"HTTP_PROXY": "{proxy}", "NO_PROXY": "127.0.0.1"}, PROXIED, {}),
        ({"HTTP_PROXY": "{proxy}", "NO_PROXY": "127.0.0.1"}, "{site}/echo", {}),
        ({"HTTP_PROXY": "{proxy}", "NO_PROXY": "localhost:{port}"}, "{local}/echo", {}),
        ({"HTTP_PROXY": "{proxy}"}, "{site}/echo", {"proxies": {"no_proxy": "127.0.0.1"}}),
        ({"HTTP_PROXY": "{nowhere}"}, PROXIED, {"proxies": {"http": "{proxy}"}}),
        ({"HTTP_PROXY": "{nowhere}"}, PROXIED, {}),
        ({"HTTPS_PROXY": "{nowhere}"}, "{site}/echo", {}),
        # from a host that is not proxied to one that is, and back
        ({"HTTP_PROXY": "{proxy}", "NO_PROXY": "127.0.0.1"}, f"{{site}}/to?url={PROXIED}", {}),
        ({"HTTP_PROXY": "{login}", "NO_PROXY": "127.0.0.1"}, f"{{site}}/to?url={PROXIED}", {}),
    ],
)
def test_proxies_of_the_environment(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    url: str,
    options: dict[str, dict[str, str]],
) -> None:
    here = {
        "site": site.url(""),
        "local": site.url("", "localhost"),
        "proxy": site.url(""),
        "login": site.url("").replace("//", "//me:secret@"),
        "nowhere": f"http://127.0.0.1:{free_port()}",
        "port": str(site.port),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value.format(**here))
    given = {
        name: {key: value.format(**here) for key, value in setting.items()}
        for name, setting in options.items()
    }

    def call() -> requests.Response:
        return get(url.format(**here), timeout=DEADLINE, **given)  # type: ignore[arg-type]

    result = agree(site, call)
    through = any(urlsplit(path).netloc for path in site.paths())
    if "{nowhere}" in environment.get("HTTP_PROXY", "") and not options:
        assert result["raised"] is requests.exceptions.ProxyError
    else:
        assert result["raised"] is None
        assert through == url.endswith(PROXIED)


def test_proxies_given_are_not_added_to(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", site.url(""))
    pooled_requests.install()
    given = {"no_proxy": "elsewhere"}
    assert "proxied" in get(PROXIED, proxies=given).json()
    assert given == {"no_proxy": "elsewhere"}


@pytest.mark.parametrize(
    "call",
    [
        lambda s: get(s.url("/echo")),
        lambda s: get(s.url("/echo"), auth=("given", "wins")),
        lambda s: get(s.url("/echo").replace("//", "//me:url@")),
        lambda s: get(s.url("/echo"), headers={"Authorization": "given"}),
        lambda s: get(s.url("/echo", "localhost")),
        lambda s: get(s.url("/to?url=" + s.url("/echo", "localhost"))),
        lambda s: get(s.url("/to?url=" + s.url("/echo"), "localhost"), auth=("given", "wins")),
        lambda _: get("nonsense"),
        lambda _: get("gopher://127.0.0.1"),
    ],
)
@pytest.mark.parametrize("where", ["~/.netrc", "NETRC"])
def test_logins_of_netrc(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    where: str,
    call: Callable[[Site], requests.Response],
) -> None:
    path = tmp_path / (".netrc" if where == "~/.netrc" else "logins")
    if where == "NETRC":
        monkeypatch.setenv("NETRC", str(path))
    path.write_text("machine 127.0.0.1 login me password secret\n")
    path.chmod(0o600)
    agree(site, lambda: call(site))


@pytest.mark.usefixtures("installed")
def test_changes_are_seen_after_forget(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def sent() -> str:
        headers: dict[str, str] = get(site.url("/echo")).json()["headers"]
        return headers.get("Authorization", "none")

    assert sent() == "none"
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HTTP_PROXY", site.url(""))
    assert sent() == "none"
    pooled_requests.forget()
    assert "proxied" in get(site.url("/echo")).json()
    assert sent().startswith("Basic ")


@pytest.mark.usefixtures("installed")
def test_forget_closes_idle_connections(site: Site) -> None:
    get(site.url("/echo"))
    assert site.open == 1
    pooled_requests.forget()
    eventually(lambda: site.open == 0, "the connection is closed")


# TLS


def test_certificates_are_verified_as_without(
    secure: Site, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = str(authority / "cert.pem")

    def call(**options: Any) -> Any:
        return agree(secure, lambda: get(secure.url("/echo"), timeout=DEADLINE, **options))

    assert call()["raised"] is requests.exceptions.SSLError
    assert call(verify=bundle)["raised"] is None
    assert call(verify=authority / "cert.pem")["raised"] is None
    assert call(verify="/not/there")["raised"] is OSError
    assert call(verify=bundle, cert="/not/there")["raised"] is OSError
    assert call()["raised"] is requests.exceptions.SSLError
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, bundle)
        assert call()["raised"] is None
        monkeypatch.delenv(name)
    assert call()["raised"] is requests.exceptions.SSLError


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize("lax", [False, 0, None])
@pytest.mark.usefixtures("installed")
def test_a_connection_is_not_lent_to_a_call_that_asks_for_more(
    secure: Site, authority: Path, lax: Any
) -> None:
    """Neither unverified ones, nor those verified by something else."""
    if lax is None:
        lax = authority / "cert.pem"
    assert get(secure.url("/echo"), verify=lax).ok
    with pytest.raises(requests.exceptions.SSLError):
        get(secure.url("/echo"))
    with pytest.raises(requests.exceptions.SSLError):
        get(secure.url("/echo"), verify=True)
    assert len(secure.seen) == 1


@pytest.mark.usefixtures("installed")
def test_kept_connections_over_tls(secure: Site, authority: Path) -> None:
    bundle = str(authority / "cert.pem")
    for _ in range(5):
        assert get(secure.url("/echo"), verify=bundle).ok
    assert secure.accepted == 1


@pytest.mark.usefixtures("installed")
def test_kept_tunnels(secure: Site, authority: Path) -> None:
    def call(path: str) -> requests.Response:
        bundle = str(authority / "cert.pem")
        return get(secure.url(path), verify=bundle, proxies={"https": proxy.url("")})

    with Site().running() as proxy:
        for _ in range(3):
            assert call("/echo").ok
        assert (proxy.accepted, secure.accepted) == (1, 1)
        assert call("/stale").ok  # through a tunnel of its own
        assert (proxy.accepted, secure.accepted) == (2, 2)
        with pytest.raises(requests.ConnectionError):
            call("/break")  # on a new tunnel: that is no staleness
        pooled_requests.forget()
        gc.collect()
        eventually(lambda: proxy.open == 0, "the tunnels are closed")


# What is pooled


@pytest.mark.parametrize(
    "call",
    [
        get,
        lambda url: request("GET", url),
        lambda url: requests.get(url, None),
        lambda url: requests.request("GET", url),
        lambda url: requests.api.request("GET", url),
        lambda url: post(url, data=b"x"),
    ],
    ids=["get", "request", "requests.get", "requests.request", "api.request", "post"],
)
@pytest.mark.usefixtures("installed")
def test_every_way_to_call_is_pooled(site: Site, call: Callable[[str], requests.Response]) -> None:
    for _ in range(5):
        assert call(site.url("/echo")).ok
    assert site.accepted == 1


def test_twice_installed_is_once_uninstalled(site: Site) -> None:
    pooled_requests.install()
    pooled_requests.install()
    get(site.url("/echo"))
    get(site.url("/echo"))
    assert site.accepted == 1
    pooled_requests.uninstall()
    pooled_requests.uninstall()
    assert vars(api)["sessions"] is sessions
    get(site.url("/echo"))
    get(site.url("/echo"))
    assert site.accepted == 3


def test_an_old_requests_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(requests.adapters.HTTPAdapter, "get_connection_with_tls_context")
    with pytest.raises(RuntimeError, match="upgrade requests"):
        pooled_requests.install()


@pytest.mark.usefixtures("installed")
def test_an_own_session_is_left_alone(site: Site) -> None:
    get(site.url("/echo"))
    with requests.Session() as own:
        assert type(own) is requests.Session
        own.get(site.url("/cookie"))
        assert own.get(site.url("/echo")).json()["headers"]["Cookie"] == "kept=no"
    assert site.accepted == 2
    assert "Cookie" not in get(site.url("/echo")).json()["headers"]
    assert site.accepted == 2


@pytest.mark.usefixtures("installed")
def test_calls_share_no_cookies(site: Site) -> None:
    assert get(site.url("/cookie")).cookies.get_dict() == {"kept": "no"}
    get(site.url("/echo"), cookies={"given": "1"})
    assert "Cookie" not in get(site.url("/echo")).json()["headers"]
    # but within one call they last
    assert get(site.url("/to?url=/echo")).json()["headers"]["Cookie"] == "crumb=1"
    assert "Cookie" not in get(site.url("/echo")).json()["headers"]
    assert site.accepted == 1


@pytest.mark.usefixtures("installed")
def test_many_proxies_do_not_pile_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooled_requests, "POOL_HOSTS", 3)
    pooled_requests.forget()
    for number in range(10):
        proxy = site.url("").replace("//", f"//user{number}:secret@")
        assert "proxied" in get(PROXIED, proxies={"http": proxy}).json()
        eventually(lambda: site.open <= 3, "no more than three are kept")
    assert len({dict(seen.headers)["Proxy-Authorization"] for seen in site.seen}) == 10


# Connections that break


@pytest.mark.parametrize("how", ["closed", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
@pytest.mark.usefixtures("installed")
def test_a_stale_connection_costs_nothing(site: Site, method: str, how: str) -> None:
    for _ in range(2):
        assert request(method, site.url(f"/stale?{how}"), data=b"x" if method == "PUT" else None).ok
    assert [seen.connection for seen in site.seen] == [1, 1, 2]
    assert {seen.body for seen in site.seen} == {"x" if method == "PUT" else ""}


@pytest.mark.usefixtures("installed")
def test_a_stale_connection_costs_nothing_over_tls(secure: Site, authority: Path) -> None:
    for _ in range(2):
        assert get(secure.url("/stale"), verify=str(authority / "cert.pem")).ok
    assert [seen.connection for seen in secure.seen] == [1, 1, 2]


@pytest.mark.usefixtures("installed")
def test_a_stale_connection_to_a_proxy_costs_nothing(site: Site) -> None:
    proxies = {"http": site.url("")}
    for _ in range(2):
        assert get("http://stale.invalid/", proxies=proxies).ok
    assert [seen.connection for seen in site.seen] == [1, 1, 2]


@pytest.mark.usefixtures("installed")
def test_the_second_attempt_is_not_on_another_kept_connection(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(get, [site.url("/together")] * 2))
    assert site.accepted == 2
    # as if another thread were quicker to take the slot of the one that broke
    give = HTTPConnectionPool._put_conn
    monkeypatch.setattr(
        HTTPConnectionPool, "_put_conn", lambda pool, held: held and give(pool, held)
    )
    assert get(site.url("/stale")).ok
    assert site.accepted == 3


@pytest.mark.parametrize(
    "call",
    [
        lambda url: post(url, data=b"x"),
        lambda url: requests.patch(url, data=b"x"),
        lambda url: requests.put(url, data=BytesIO(b"x")),  # it has been read
    ],
    ids=["post", "patch", "put of a file"],
)
@pytest.mark.parametrize("how", ["closed", "reset"])
@pytest.mark.usefixtures("installed")
def test_what_may_not_be_repeated_is_not(
    site: Site, call: Callable[[str], requests.Response], how: str
) -> None:
    assert call(site.url("/stale")).ok
    with pytest.raises(requests.ConnectionError, match="StaleConnectionError"):
        call(site.url(f"/stale?{how}"))
    assert [seen.connection for seen in site.seen] == [1, 1]
    assert call(site.url("/stale")).ok


@pytest.mark.parametrize("path", ["/held", "/half", "/garbled", "/cut"])
@pytest.mark.usefixtures("installed")
def test_a_get_is_repeated_for_nothing_else(site: Site, path: str) -> None:
    """Neither after a timeout nor once there was something of an answer."""
    get(site.url("/echo"))
    with pytest.raises(requests.RequestException):
        get(site.url(path), timeout=BRIEF)
    assert site.paths() == ["/echo", path]
    assert get(site.url("/echo")).ok  # and on what is left of the pool nothing lingers


@pytest.mark.usefixtures("installed")
def test_a_server_that_is_gone_is_reported_as_such() -> None:
    with Site().running() as site:
        get(site.url("/echo"))
    with pytest.raises(requests.ConnectionError, match="refused"):
        get(site.url("/echo"))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("call", [get, post])
def test_one_that_the_server_has_closed_is_not_used(
    site: Site, call: Callable[[str], requests.Response]
) -> None:
    get(site.url("/last"))
    eventually(lambda: site.open == 0, "the server has closed it")
    assert call(site.url("/echo")).ok
    assert site.paths() == ["/last", "/echo"]
    get(site.url("/last"))
    eventually(lambda: site.open == 0, "the server has closed it")
    with pytest.raises(requests.ConnectionError):
        call(site.url("/break"))  # the first on its connection, so nothing was stale
    assert site.paths().count("/break") == 1


# Streams


@pytest.mark.usefixtures("installed")
def test_a_stream_read_to_the_end_is_reused(site: Site) -> None:
    for _ in range(3):
        with get(site.url("/echo"), stream=True) as response:
            assert b"".join(response.iter_content(10))
    assert site.accepted == 1


@pytest.mark.usefixtures("installed")
def test_a_stream_closed_early_is_not_reused(site: Site) -> None:
    with get(site.url("/half"), stream=True) as response:
        assert next(response.iter_content(2)) == b"ha"
        assert get(site.url("/echo")).ok
    for _ in range(3):
        assert get(site.url("/echo")).ok
    assert 1 not in [seen.connection for seen in site.seen[1:]]
    site.release.set()
    eventually(lambda: site.open == site.accepted - 1, "the stream's connection is closed")


@pytest.mark.usefixtures("installed")
def test_a_stream_left_alone_leaks_nothing(site: Site) -> None:
    for _ in range(5):
        response = get(site.url("/half"), stream=True)
        assert response.status_code == 200
        del response
    gc.collect()
    site.release.set()
    eventually(lambda: site.open == 0, "their connections are closed")
    assert site.accepted == 5


# Threads, processes, greenlets


@pytest.mark.usefixtures("installed")
def test_fifty_threads_at_once(site: Site) -> None:
    site.together = threading.Barrier(50)

    def call(number: int) -> None:
        mine = str(number)
        get(site.url("/together"))
        for _ in range(5):
            told = get(site.url("/echo"), params={"n": mine}, cookies={"n": mine}).json()
            assert told["path"] == f"/echo?n={mine}"
            assert told["headers"]["Cookie"] == f"n={mine}"

    with ThreadPoolExecutor(50) as pool:
        list(pool.map(call, range(50)))
    assert site.accepted == 50
    assert site.open == 50


def run(script: str, *arguments: str) -> None:
    """Run a script in a process of its own."""
    subprocess.run(
        (sys.executable, "-X", "dev", "-W", "error", "-c", script, *arguments),
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PYTHONPATH": str(FLASK_APP)},
        check=True,
        timeout=DEADLINE,
    )


FORK = """
import gc, os, sys
import requests, pooled_requests

url, verify = sys.argv[1], sys.argv[2] or None
pooled_requests.install()
assert requests.get(url + "?who=parent", verify=verify).ok
child = os.fork()
if not child:
    assert requests.get(url + "?who=child", verify=verify).ok
    assert requests.get(url + "?who=child", verify=verify).ok
    pooled_requests.forget()
    gc.collect()
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
assert requests.get(url + "?who=parent", verify=verify).ok
"""


@pytest.mark.parametrize("kind", ["site", "secure"])
def test_a_forked_child_opens_its_own(kind: str, request: pytest.FixtureRequest) -> None:
    site: Site = request.getfixturevalue(kind)
    verify = ""
    if kind == "secure":
        verify = str(request.getfixturevalue("authority") / "cert.pem")
    run(FORK, site.url("/echo"), verify)
    assert [(seen.connection, seen.path) for seen in site.seen] == [
        (1, "/echo?who=parent"),
        (2, "/echo?who=child"),
        (2, "/echo?who=child"),
        (1, "/echo?who=parent"),
    ]


KILL = """
from gevent import monkey

monkey.patch_all()
import sys
import gevent, requests, pooled_requests

url, path, how = sys.argv[1:]
pooled_requests.install()
get = requests.get


def cut_short(url):
    with gevent.Timeout(0.2, False):
        get(url)


get(url + "/echo")
call = gevent.spawn(get if how == "kill" else cut_short, url + path)
while get(url + "/count?of=" + path).text != "1":
    pass
call.kill() if how == "kill" else call.join()
calls = [gevent.spawn(get, url + f"/echo?n={n}") for n in range(20)]
gevent.joinall(calls, raise_error=True)
assert [call.value.json()["path"] for call in calls] == [f"/echo?n={n}" for n in range(20)]
"""


@pytest.mark.parametrize("path", ["/held", "/half"])
@pytest.mark.parametrize("how", ["kill", "timeout"])
def test_a_greenlet_that_is_killed_leaves_a_clean_pool(site: Site, path: str, how: str) -> None:
    run(KILL, site.url(""), path, how)
    [killed] = [seen.connection for seen in site.seen if seen.path == path]
    after = site.paths().index(path) + 1
    assert killed not in [seen.connection for seen in site.seen[after:]]
    site.release.set()
    eventually(lambda: site.open == 0, "all connections are closed")
