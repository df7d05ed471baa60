"""The API behind this app: where it is, how long it may take, and what its failures are.

Safe in threads, in greenlets (where gevent has patched before this is imported) and after a fork:
nothing is opened before the first use.

Settings, by environment:

============= ======================= =======================================================
API_URL       http://127.0.0.1:8800   where the API is; a path in it goes before every path
API_TIMEOUT   35                      seconds of silence before it counts as too slow; above
                                      the longest answer that is still in order (30 s)
API_PROXY                             http://host:port; left out: none, whatever HTTP_PROXY says
API_REDIRECTS 0                       redirects to follow, within the API; left out: each is an
                                      error
============= ======================= =======================================================
"""

import os

from http_client import HttpClient

URL = os.environ.get("API_URL", "http://127.0.0.1:8800")
TIMEOUT = float(os.environ.get("API_TIMEOUT", "35"))
CONNECT_TIMEOUT = min(TIMEOUT, 10.0)

_client = HttpClient(
    URL,
    timeout=TIMEOUT,
    connect_timeout=CONNECT_TIMEOUT,
    proxy=os.environ.get("API_PROXY"),
    redirects=int(os.environ.get("API_REDIRECTS", "0")),
)


class UpstreamError(Exception):
    """The API gave no usable answer."""


class UpstreamDownError(UpstreamError):
    """It cannot be reached, broke the connection, or answered with another status than 200."""


class UpstreamTimeoutError(UpstreamError):
    """It did not answer in time."""


def get(path: str, *, timeout: float = TIMEOUT) -> bytes:
    """Return the body of the API's answer to ``GET path``."""
    try:
        response = _client.get(path, timeout=timeout)
    except TimeoutError as error:
        raise UpstreamTimeoutError(f"no answer from the API in time: {error}") from error
    except OSError as error:
        raise UpstreamDownError(f"the API is down: {error}") from error
    if response.status != 200:  # noqa: PLR2004
        raise UpstreamDownError(f"the API answered with status {response.status}")
    return response.body
