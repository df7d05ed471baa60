"""geventhttpclient's ``HTTPClient``: llhttp behind a client of gevent's own, for greenlets only.

It stands in for ``flask_app/http_client.py``, as far as ``upstream.py`` uses that.
"""

from typing import NamedTuple

from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPParseError


class Response(NamedTuple):
    """One answer."""

    status: int
    body: bytes


class HttpClient:
    """Calls to one service."""

    def __init__(self, url: str, *, timeout: float, connect_timeout: float, **_: object) -> None:
        """Open nothing yet."""
        # Its own timeouts of 5 s are shorter than an answer may take. One client per timeout:
        # a call cannot have one of its own.
        self._url = url
        self._connect_timeout = connect_timeout
        self._clients: dict[float, HTTPClient] = {timeout: self._client(timeout)}

    def get(self, path: str, *, timeout: float) -> Response:
        """Call ``GET path``; it repeats what a closed connection lost by itself."""
        client = self._clients.get(timeout)
        if client is None:
            client = self._clients[timeout] = self._client(timeout)
        try:
            response = client.get(path)
            return Response(response.status_code, response.read())
        except HTTPParseError as error:
            raise ConnectionError(str(error)) from error

    def _client(self, timeout: float) -> HTTPClient:
        return HTTPClient.from_url(
            self._url,
            concurrency=2000,
            connection_timeout=min(self._connect_timeout, timeout),
            network_timeout=timeout,
        )
