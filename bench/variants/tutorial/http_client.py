"""The tutorial's way to call the API: ``requests.get``, by the API's name, without a timeout.

It stands in for ``flask_app/http_client.py``, as far as ``upstream.py`` uses that.
"""

from typing import NamedTuple

import requests


class Response(NamedTuple):
    """One answer."""

    status: int
    body: bytes


class HttpClient:
    """Calls to one service."""

    def __init__(self, url: str, **_: object) -> None:
        """Open nothing yet."""
        # The tutorial's API has a name, which every call resolves.
        self._url = url.rstrip("/").replace("//127.0.0.1:", "//localhost:")

    def get(self, path: str, **_: object) -> Response:
        """Call ``GET path``."""
        response = requests.get(self._url + path)  # noqa: S113 - as there
        return Response(response.status_code, response.content)
