"""``requests.get`` for every call, given a pool by ``flask_app/pooled_requests.py``.

It stands in for ``flask_app/http_client.py``, as far as ``upstream.py`` uses that.
"""

from typing import NamedTuple

import pooled_requests
import requests

pooled_requests.install()


class Response(NamedTuple):
    """One answer."""

    status: int
    body: bytes


class HttpClient:
    """Calls to one service."""

    def __init__(self, url: str, *, timeout: float, connect_timeout: float, **_: object) -> None:
        """Open nothing yet."""
        self._url = url.rstrip("/")
        self._limits = (connect_timeout, timeout)

    def get(self, path: str, *, timeout: float) -> Response:
        """Call ``GET path``."""
        limits = (min(self._limits[0], timeout), timeout)
        try:
            response = requests.get(self._url + path, timeout=limits, allow_redirects=False)
        except requests.Timeout as error:
            raise TimeoutError(str(error)) from error
        return Response(response.status_code, response.content)
