"""Kept-alive connections for an app full of ``requests.get``, without a change to those calls.

``requests.get``, ``post`` and their like open a connection for each call, and read the proxy
settings and ``~/.netrc`` for each. With this they share a pool, and look that up once per host. All
else stays: each call has a session and cookies of its own, and what it is given (``auth``,
``proxies``, ``verify``, ``stream`` …) wins as before. A ``requests.Session`` that the app makes is
left alone.

Copy it beside your app. Once, where the app starts, and after gevent has patched::

    import pooled_requests
    pooled_requests.install()

It does not matter who imported what before: ``from requests import get`` is pooled, too. Safe in
threads, in greenlets, after a fork, and where a greenlet is killed in the middle of a call.

Settings, by environment:

=================== ==== ==================================================================
REQUESTS_POOL_SIZE  2000 connections kept per host: as many as there are calls to it at once.
                         Above that a call opens one of its own; it never waits
REQUESTS_POOL_HOSTS 50   hosts, and proxies, whose connections are kept at the same time
=================== ==== ==================================================================

Limits:

- A server may close a kept connection just as a call goes out on it. A GET, HEAD, OPTIONS, PUT,
  DELETE or TRACE is then sent once more, on a new connection. A POST or PATCH never is, nor is a
  body that is read from a file: that call fails with a ``requests.ConnectionError`` which names
  ``StaleConnectionError``. A timeout is never repeated.
- Proxy variables and ``~/.netrc`` are read at the first call to a host. After a change:
  ``forget()``.
- A host's address and its certificate, and your own, are looked at when a connection opens, and
  not again while it is kept.
- A login that belongs to the connection (NTLM, Kerberos) would be lent to other calls: for these
  use a ``requests.Session`` of your own.
- Idle connections stay open, as many as there were calls at once, until the next use finds them
  closed by the server. A server with a thread per connection keeps one busy with each.
- A server that sends more than it announced (a body after a 204) spoils the next call to it.
- With a ``verify`` that is neither a bool nor a string (a ``Path``) a call is not pooled.
"""

import functools
import os
import threading
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from http.client import HTTPResponse
from types import SimpleNamespace
from urllib.parse import urlsplit

import requests
from requests import api, sessions
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.cookies import RequestsCookieJar
from requests.utils import default_headers, get_environ_proxies, get_netrc_auth
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import ConnectionPool, HTTPConnectionPool
from urllib3.exceptions import ProtocolError, ProxyError
from urllib3.util import Retry

POOL_SIZE = int(os.environ.get("REQUESTS_POOL_SIZE", "2000"))
POOL_HOSTS = int(os.environ.get("REQUESTS_POOL_HOSTS", "50"))

# Both depend on scheme, host and port only, and cost about a quarter of a kept-alive call.
_proxies_for = functools.lru_cache(maxsize=1024)(get_environ_proxies)
_login_for = functools.lru_cache(maxsize=1024)(get_netrc_auth)


def install() -> None:
    """Send the calls of ``requests`` through the pool, from now on. Twice is as good as once."""
    if not hasattr(api, "sessions") or not hasattr(HTTPAdapter, "get_connection_with_tls_context"):
        # before 2.32 a pool did not tell verified connections from others (CVE-2024-35195)
        raise RuntimeError("pooled_requests needs requests 2.32 or a later 2.x: upgrade requests")
    # requests.api.request makes a sessions.Session for each call, and all others call it: one name
    # to replace, whoever holds a reference to whichever function.
    vars(api)["sessions"] = SimpleNamespace(**(vars(sessions) | {"Session": _Call}))


def uninstall() -> None:
    """Let the calls be as they were, and drop the idle connections."""
    vars(api)["sessions"] = sessions
    forget()


def forget() -> None:
    """Drop idle connections, and what was read from the environment and from ``~/.netrc``."""
    _proxies_for.cache_clear()
    _login_for.cache_clear()
    _model.adapters = _adapters()


class StaleConnectionError(ConnectionResetError):
    """A connection that had served before broke before it gave an answer."""


class _Watched(HTTPConnection):
    """Tells one that went stale while it was kept from a new one that broke."""

    served = False

    def connect(self) -> None:
        self.served = False
        super().connect()

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        try:
            response = super().getresponse()
        except ConnectionError as error:
            if self.served:
                raise StaleConnectionError(*error.args) from error
            raise
        self.served = True
        return response  # type: ignore[return-value]


@functools.cache
def _watched(pool: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
    connection = type(pool.ConnectionCls.__name__, (_Watched, pool.ConnectionCls), {})
    return type(pool.__name__, (pool,), {"ConnectionCls": connection})


def _watch(manager: PoolManager) -> None:
    plain = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _watched(pool) for scheme, pool in plain.items()}


class _Adapter(HTTPAdapter):
    """The connections that all calls share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        super().__init__(pool_connections=POOL_HOSTS, pool_maxsize=POOL_SIZE)
        _watch(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: object) -> PoolManager:
        with self._lock:
            if proxy not in self.proxy_manager:
                if len(self.proxy_manager) >= POOL_HOSTS:  # who changes proxies all the time
                    self.proxy_manager.clear()
                _watch(super().proxy_manager_for(proxy, **options))
            manager: PoolManager = self.proxy_manager[proxy]
            return manager

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: bool | str | None,
        proxies: Mapping[str, str] | None = None,
        cert: tuple[str, str] | str | None = None,
    ) -> ConnectionPool:
        # By other values requests does not tell pools apart: what ``verify=0`` opened would be
        # lent to a call that wants it verified.
        keep = isinstance(verify, bool | str)
        get = (
            super().get_connection_with_tls_context
            if keep
            else HTTPAdapter().get_connection_with_tls_context
        )
        return get(request, verify, proxies, cert)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        try:
            return super().send(request, stream, timeout, verify, cert, proxies)
        except requests.ConnectionError as error:
            if not _may_repeat(request, error):
                raise
        # As requests itself would have sent it: another kept connection may be as stale.
        return HTTPAdapter().send(request, stream, timeout, verify, cert, proxies)


def _may_repeat(request: requests.PreparedRequest, error: requests.ConnectionError) -> bool:
    broken = error.args[0] if error.args else None
    broken = getattr(broken, "reason", broken)
    return (
        isinstance(broken, ProtocolError | ProxyError)  # the latter where there is a proxy
        and isinstance(broken.args[-1], StaleConnectionError)
        and request.method in Retry.DEFAULT_ALLOWED_METHODS
        and isinstance(request.body, bytes | str | None)
    )


class _Call(requests.Session):
    """The session of one call: all its own but for the connections."""

    def __init__(self) -> None:
        # Not Session.__init__, which builds two adapters, each with its pools.
        vars(self).update(vars(_model))
        self.headers = {**default_headers()}
        self.cookies = RequestsCookieJar()

    def close(self) -> None:
        """Leave the connections to the calls to come."""

    # What requests does where ``trust_env`` is set, from the caches.

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        request.auth = request.auth or _login_for(_origin(request.url))
        return super().prepare_request(request)

    def merge_environment_settings(
        self,
        url: str | bytes | None,
        proxies: MutableMapping[str, str] | None,
        stream: bool | None,
        verify: bool | str | None,
        cert: str | tuple[str, str] | None,
    ) -> "sessions._Settings":
        given = proxies or {}
        proxies = {**_proxies_for(_origin(url), given.get("no_proxy")), **given}
        if verify is True or verify is None:
            environ = os.environ.get
            verify = environ("REQUESTS_CA_BUNDLE") or environ("CURL_CA_BUNDLE") or verify
        return super().merge_environment_settings(url, proxies, stream, verify, cert)

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        super().rebuild_auth(prepared_request, response)  # type: ignore[no-untyped-call]
        login = _login_for(_origin(prepared_request.url))
        if login is not None:
            prepared_request.prepare_auth(login)

    def rebuild_proxies(
        self, prepared_request: requests.PreparedRequest, proxies: Mapping[str, str] | None
    ) -> dict[str, str]:
        given = dict(proxies or {})
        origin = _origin(prepared_request.url)
        found = _proxies_for(origin, given.get("no_proxy"))
        scheme = origin.partition(":")[0]
        proxy = found.get(scheme, found.get("all"))
        if proxy:
            given.setdefault(scheme, proxy)
        return super().rebuild_proxies(prepared_request, given)  # type: ignore[no-untyped-call, no-any-return]


def _origin(url: str | bytes | None) -> str:
    """Scheme, host and port, in a form that the look-ups can read."""
    with suppress(ValueError):
        if isinstance(url, str):
            parts = urlsplit(url)
            return f"{parts.scheme}://{parts.netloc}"
    return ""  # not a URL: requests says so itself


def _adapters() -> dict[str, BaseAdapter]:
    return dict.fromkeys(("https://", "http://"), _Adapter())


def _leave_to_parent() -> None:
    # Held on to and not closed: that would take locks, which a thread that is not in this process
    # may have had.
    _parents.append(_model.adapters)
    _model.adapters = _adapters()


_parents: list[Mapping[str, BaseAdapter]] = []
_model = requests.Session()
_model.trust_env = False
_model.adapters = _adapters()
os.register_at_fork(after_in_child=_leave_to_parent)
