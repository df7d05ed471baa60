"""A lean HTTP/1.1 client for one service: kept-alive connections, and little CPU per call.

A call costs about a seventh of what urllib3 spends on it, and a thirtieth of ``requests.get``:
the request is one string, llhttp (in C, by way of ``httptools``) reads the response, and nothing is
looked up per call. Plain sockets, so it waits as threads do, or as greenlets do where gevent has
patched before this is imported. Safe in both, after a fork, and when a greenlet is killed during a
call: a connection goes back to the pool only after a whole, clean response. (Of a fork uWSGI tells
Python only with ``lazy-apps`` or ``py-call-osafterfork``.)

A connection that the service closed just as a request went out costs no request: one that may be
repeated (RFC 9110, 9.2.2) is, once, over a new connection. A call that timed out never is.

It asks for no compression, keeps no cookies, follows redirects only within the service and only as
often as it is told to, and takes a proxy only from its caller. It does not do HEAD.
"""

import os
import re
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections import deque
from collections.abc import Mapping, Sequence, Set
from fcntl import ioctl
from termios import FIONREAD
from typing import Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit
from weakref import WeakSet

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

REPEATABLE = frozenset({"GET", "OPTIONS", "PUT", "DELETE"})
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
METHODS = REPEATABLE | WITH_BODY
REDIRECTS = frozenset({301, 302, 303, 307, 308})
BLOCK = 16 * 1024
RESOLVED_FOR = 1.0  # seconds
NOTHING = bytes(4)  # to read, as FIONREAD counts it
TCP_INFO = getattr(socket, "TCP_INFO", None)
ESTABLISHED = 1  # of TCP's states in Linux (netinet/tcp.h)

# as from socket.getaddrinfo: family, type, protocol, name, address
_Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]

_TARGET = re.compile(r"/[!-~]*", re.ASCII)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_VALUE = re.compile(r"[\t -~\x80-\xff]*")


class ProtocolError(ConnectionError):
    """The service broke off in mid-response, or did not speak HTTP."""


class _StaleError(ConnectionError):
    """A kept-alive connection had been closed: not one byte came back."""


class Response:
    """One answer: ``status``, ``headers`` (names in lower case) and ``body``."""

    __slots__ = ("fields", "parts", "status")

    def __init__(self) -> None:
        self.status = 0
        self.fields: list[tuple[bytes, bytes]] = []
        self.parts: list[bytes] = []

    @property
    def headers(self) -> dict[str, str]:
        """Headers by name in lower case; one that came twice is joined by a comma."""
        joined: dict[str, str] = {}
        for field, content in self.fields:
            name, value = field.decode("latin-1").lower(), content.decode("latin-1")
            joined[name] = f"{joined[name]}, {value}" if name in joined else value
        return joined

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.parts)


class HttpClient:
    """Calls to one service, ``http://host:port`` or ``https://…``; a path goes before every path.

    Raises:
        ValueError: the URL or the proxy is none.

    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 35.0,
        connect_timeout: float = 10.0,
        pool_size: int = 2000,
        redirects: int = 0,
        proxy: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            url: of the service.
            timeout: seconds of silence that a response may take.
            connect_timeout: seconds until a connection is there.
            pool_size: idle connections that are kept. It bounds no calls: one that finds no idle
                connection opens its own, so as many as there are calls at once is right.
            redirects: followed per GET, to the same service only.
            proxy: ``http://user:password@host:port``; for https it is asked for a tunnel.
            tls: instead of the system's certificates and Python's defaults.

        """
        self._url = _parsed(url, {"http", "https"})
        self._proxy = _parsed(proxy, {"http"}) if proxy else None
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._pool_size = pool_size
        self._redirects = redirects
        self._tls = tls
        # The last one put back is the first one taken: no more stay open than are needed at once.
        self._idle: deque[_Connection] = deque()
        self._resolved: tuple[float, Sequence[_Address]] = (0.0, ())
        """Until when, and the addresses of the service."""
        self._failed: tuple[float, OSError] = (0.0, OSError())
        """When the last look-up failed, and how."""
        self._looking_up = threading.Lock()
        _clients.add(self)

        self._prefix = self._url.path.rstrip("/")
        common = f"Host: {_host_and_port(self._url)}\r\nAccept-Encoding: identity\r\n"
        common += _basic("Authorization", self._url)
        if self._proxy and self._url.scheme == "http":
            self._prefix = f"http://{_host_and_port(self._url)}{self._prefix}"
            common += _basic("Proxy-Authorization", self._proxy)
        self._common = f" HTTP/1.1\r\n{common}"

    def close(self) -> None:
        """Close the idle connections; a call afterwards opens new ones."""
        while self._idle:
            self._idle.pop().socket.close()

    def get(
        self, path: str, *, headers: Mapping[str, str] | None = None, timeout: float | None = None
    ) -> Response:
        """Call ``GET path`` and follow redirects; errors as in `request`."""
        response = self.request("GET", path, headers=headers, timeout=timeout)
        left = self._redirects
        while left and response.status in REDIRECTS and "location" in response.headers:
            left -= 1
            path = self._path_of(path, response.headers["location"])
            response = self.request("GET", path, headers=headers, timeout=timeout)
        return response

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Response:
        """Send one request and return the whole answer, whatever its status.

        Raises:
            TimeoutError: no connection, or no byte, in time.
            OSError: no connection; `ProtocolError` if it broke.
            ValueError: the method, the path or a header could not be sent as it is.

        """
        message = self._message(method, path, body, headers)
        silence = self._timeout if timeout is None else timeout
        if idle := self._take(repeatable=method in REPEATABLE):
            try:
                return self._exchange(idle, message, silence)
            except _StaleError:
                if method not in REPEATABLE:
                    raise
        return self._exchange(self._connect(silence), message, silence)

    def _message(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str] | None
    ) -> bytes:
        if method not in METHODS:
            raise ValueError(f"the method is {method!r}; allowed are {', '.join(sorted(METHODS))}")
        if not _TARGET.fullmatch(path):
            raise ValueError(f"{path!r} is no path: it begins with / and has its blanks quoted")
        more = _lines(headers) if headers else ""
        if body or method in WITH_BODY:
            more += f"Content-Length: {len(body)}\r\n"
        return f"{method} {self._prefix}{path}{self._common}{more}\r\n".encode("latin-1") + body

    def _take(self, *, repeatable: bool) -> "_Connection | None":
        """Return an idle connection that is fit for the request; ``None``: there is none."""
        while True:
            try:
                idle = self._idle.pop()
            except IndexError:
                return None
            if idle.is_silent() and (repeatable or idle.is_open()):
                return idle
            idle.socket.close()

    def _exchange(self, connection: "_Connection", message: bytes, timeout: float) -> Response:
        try:
            response = connection.exchange(message, timeout)
        except BaseException:  # a killed greenlet, too: nobody knows what is still to come
            connection.socket.close()
            raise
        if connection.reusable and len(self._idle) < self._pool_size:
            self._idle.append(connection)
        else:
            connection.socket.close()
        return response

    def _connect(self, timeout: float) -> "_Connection":
        limit = min(self._connect_timeout, timeout)
        opened = self._dial(limit)
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._url.scheme == "https":
                if self._proxy:
                    self._open_tunnel(self._proxy, opened, limit)
                self._tls = self._tls or ssl.create_default_context()
                opened = self._tls.wrap_socket(opened, server_hostname=self._url.hostname)
        except BaseException:
            opened.close()
            raise
        return _Connection(opened, limit)

    def _dial(self, limit: float) -> socket.socket:
        failure: OSError | None = None
        for family, kind, protocol, _, address in self._addresses(limit):
            opened = socket.socket(family, kind, protocol)
            try:
                opened.settimeout(limit)
                opened.connect(address)
            except BaseException as error:
                opened.close()
                if not isinstance(error, OSError):
                    raise
                failure = error
            else:
                return opened
        raise failure or OSError("the name has no address")

    def _addresses(self, limit: float) -> Sequence[_Address]:
        """Look the name up, at most once per `RESOLVED_FOR`: a burst of calls wants it at once.

        A look-up holds up no other greenlet because gevent hands it to a thread; an address
        written as a number would go there, too. How long it takes is the resolver's to say.
        """
        asked = time.monotonic()
        until, addresses = self._resolved
        if asked < until:
            return addresses
        # the others wait for the first one's answer, or failure
        if not self._looking_up.acquire(timeout=limit):
            raise TimeoutError(f"the name was not looked up in {limit:g} s")
        try:
            until, addresses = self._resolved
            if asked < until:
                return addresses
            failed, error = self._failed
            if asked < failed:
                raise type(error)(*error.args)
            return self._looked_up()
        finally:
            self._looking_up.release()

    def _looked_up(self) -> Sequence[_Address]:
        at = self._proxy or self._url
        try:
            addresses = socket.getaddrinfo(at.hostname, _port(at), type=socket.SOCK_STREAM)
        except OSError as error:
            self._failed = (time.monotonic(), error)
            raise
        self._resolved = (time.monotonic() + RESOLVED_FOR, addresses)
        return addresses

    def _open_tunnel(self, proxy: SplitResult, opened: socket.socket, timeout: float) -> None:
        goal = _host_and_port(self._url, always=True)
        message = f"CONNECT {goal} HTTP/1.1\r\nHost: {goal}\r\n"
        message += _basic("Proxy-Authorization", proxy) + "\r\n"
        asked = _Connection(opened, timeout)
        status = asked.exchange(message.encode(), timeout, only_headers=True).status
        if status // 100 != 2:  # noqa: PLR2004
            raise ProtocolError(f"the proxy refused the tunnel with status {status}")

    def _path_of(self, path: str, location: str) -> str:
        prefix = self._url.path.rstrip("/")
        origin = f"{self._url.scheme}://{_host_and_port(self._url, always=True)}"
        try:
            goal = urlsplit(urljoin(f"{origin}{prefix}{path}", location))
            there = f"{goal.scheme}://{_host_and_port(goal, always=True)}"
        except ValueError as error:
            raise ProtocolError(f"redirected to no URL: {location!r}") from error
        if there != origin or not f"{goal.path}/".startswith(f"{prefix}/"):
            raise ProtocolError(f"redirected to another service: {location}")
        inside = goal.path.removeprefix(prefix) or "/"
        target = goal._replace(scheme="", netloc="", path=inside, fragment="").geturl()
        if not _TARGET.fullmatch(target):
            raise ProtocolError(f"redirected to no URL: {location!r}")
        return target


def _forget_connections() -> None:
    """Let go of the parent's connections: two processes on one would mix up its answers."""
    for client in _clients:
        client.close()
        client._looking_up = threading.Lock()  # held, perhaps, by a thread that is not here


_clients: WeakSet[HttpClient] = WeakSet()
os.register_at_fork(after_in_child=_forget_connections)


class _Connection:
    """One connection, and how far its parser is with a response."""

    __slots__ = ("_complete", "_parser", "_response", "_timeout", "_used", "reusable", "socket")

    def __init__(self, opened: socket.socket, timeout: float) -> None:
        self.socket = opened
        self.reusable = False
        """Whether a whole response has been read, and the service keeps the connection."""
        self._timeout = timeout
        self._used = False
        self._complete = False
        self._response = Response()
        self._parser = HttpResponseParser(self)

    # Neither ever waits: under gevent select() and poll() go through its loop.

    def is_silent(self) -> bool:
        """Say whether the service has sent nothing that nobody asked for."""
        return ioctl(self.socket.fileno(), FIONREAD, NOTHING) == NOTHING

    def is_open(self) -> bool:
        """Say whether the service keeps it open, as far as that has been heard of here."""
        if TCP_INFO is None:  # not Linux: the request will show it
            return True
        return self.socket.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 1)[0] == ESTABLISHED

    def exchange(self, message: bytes, timeout: float, *, only_headers: bool = False) -> Response:
        """Send a request and read its response; errors as in `HttpClient.request`."""
        if timeout != self._timeout:
            self.socket.settimeout(timeout)
            self._timeout = timeout
        self._response = response = Response()
        self._complete = self.reusable = False
        began = False
        try:
            sent = self.socket.send(message)
            if sent < len(message):
                self.socket.sendall(message[sent:])
            while not self._complete:
                data = self.socket.recv(BLOCK)
                if not data:
                    self._at_end_of_file()
                    break
                began = True
                self._parser.feed_data(data)
                if only_headers and response.status:
                    break
        except (HttpParserError, HttpParserUpgrade) as error:
            raise ProtocolError(f"the service did not speak HTTP: {error}") from error
        except (ConnectionError, ssl.SSLError) as error:
            if self._used and not began:
                raise _StaleError("the service closed the connection") from error
            raise ProtocolError(f"the service broke off: {error}") from error
        self._used = True
        return response

    def _at_end_of_file(self) -> None:
        """Accept it as the end of a body whose length nothing else tells, and of no other."""
        response = self._response
        if not response.status or {"content-length", "transfer-encoding"} & response.headers.keys():
            raise ConnectionResetError("closed before the end of the response")

    # What the parser calls, in this order.

    def on_message_begin(self) -> None:
        if self._complete:  # more than was asked for: nobody is to see it, and nobody to come
            self.reusable = False
            self._response = Response()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._response.fields.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # noqa: PLR2004 - an interim answer; the final one follows
            self._response.fields.clear()
        elif not self._complete:
            self._response.status = status

    def on_body(self, part: bytes) -> None:
        self._response.parts.append(part)

    def on_message_complete(self) -> None:
        if self._response.status:
            self._complete = True
            self.reusable = self._parser.should_keep_alive()


def _lines(headers: Mapping[str, str]) -> str:
    for name, value in headers.items():
        if not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            raise ValueError(f"not fit for a header: {name!r}: {value!r}")
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def _parsed(url: str, schemes: Set[str]) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is no URL: {error}") from None
    if parts.scheme not in schemes or not parts.hostname or parts.query or parts.fragment:
        allowed = " or ".join(f"{scheme}://host:port" for scheme in sorted(schemes))
        raise ValueError(f"{url!r} is not of the form {allowed}")
    return parts


def _port(url: SplitResult) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _host_and_port(url: SplitResult, *, always: bool = False) -> str:
    host = url.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{_port(url)}" if url.port or always else host


def _basic(header: str, url: SplitResult) -> str:
    """Return a header line with the name and password of a URL; nothing if it has none."""
    if url.username is None:
        return ""
    secret = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
    return f"{header}: Basic {b64encode(secret).decode()}\r\n"
