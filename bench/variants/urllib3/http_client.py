"""A urllib3 pool: the well-known library below requests.

It stands in for ``flask_app/http_client.py``, as far as ``upstream.py`` uses that.
"""

from typing import NamedTuple

import urllib3


class Response(NamedTuple):
    """One answer."""

    status: int
    body: bytes


class HttpClient:
    """Calls to one service."""

    def __init__(self, url: str, *, timeout: float, connect_timeout: float, **_: object) -> None:
        """Open nothing yet."""
        self._limits = (connect_timeout, timeout)
        self._prefix = (urllib3.util.parse_url(url).path or "").rstrip("/")
        # Never waits for a slot, so that a call which is cut short cannot keep one (urllib3#805).
        self._pool = urllib3.connection_from_url(url, maxsize=2000, block=False)

    def get(self, path: str, *, timeout: float) -> Response:
        """Call ``GET path``, once more where a kept-alive connection had been closed."""
        try:
            try:
                return self._get(path, timeout)
            except urllib3.exceptions.ProtocolError:
                return self._get(path, timeout)
        except urllib3.exceptions.NewConnectionError as error:
            raise ConnectionError(str(error)) from error
        except urllib3.exceptions.TimeoutError as error:
            raise TimeoutError(str(error)) from error
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionError(str(error)) from error

    def _get(self, path: str, timeout: float) -> Response:
        limits = urllib3.Timeout(connect=min(self._limits[0], timeout), read=timeout)
        response = self._pool.urlopen(
            "GET", self._prefix + path, retries=False, redirect=False, timeout=limits
        )
        return Response(response.status, response.data)
