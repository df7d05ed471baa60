"""One ``requests.Session`` for all calls.

It stands in for ``flask_app/http_client.py``, as far as ``upstream.py`` uses that.
"""

from http.cookiejar import DefaultCookiePolicy
from typing import NamedTuple

import requests
import requests.adapters


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
        self._session = requests.Session()
        # its default of 10 would throw away all connections but 10
        self._session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=2000))
        # a cookie of one user's answer would go out with the next user's call
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def get(self, path: str, *, timeout: float) -> Response:
        """Call ``GET path``."""
        limits = (min(self._limits[0], timeout), timeout)
        try:
            response = self._session.get(self._url + path, timeout=limits, allow_redirects=False)
        except requests.Timeout as error:
            raise TimeoutError(str(error)) from error
        return Response(response.status_code, response.content)
