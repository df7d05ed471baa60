"""One pooled HTTP client for the API behind this app.

A request over a kept-alive connection costs a third of ``requests.get``, which opens a connection,
reads the proxy settings and resolves a name each time. Safe in threads, in greenlets (where gevent
has patched before this is imported) and after a fork: nothing is opened before the first use.

Settings, by environment:

=========== ======================= =========================================================
API_URL     http://127.0.0.1:8800   where the API is; a path in it goes before every path
API_TIMEOUT 35                      seconds of silence before it counts as too slow; above the
                                    longest answer that is still in order (30 s)
=========== ======================= =========================================================
"""

import os

import urllib3

URL = os.environ.get("API_URL", "http://127.0.0.1:8800")
TIMEOUT = float(os.environ.get("API_TIMEOUT", "35"))
CONNECT_TIMEOUT = min(TIMEOUT, 10.0)
# Free slots cost nothing, and too few throw connections away: as many as requests at once.
# Above that a call opens a connection of its own. It never waits for a slot, so a call that was
# cut short by a timeout cannot keep one (urllib3#805).
POOL_SIZE = 2000

_PREFIX = (urllib3.util.parse_url(URL).path or "").rstrip("/")
_pool = urllib3.connection_from_url(URL, maxsize=POOL_SIZE, block=False)


class UpstreamError(Exception):
    """The API gave no usable answer."""


class UpstreamDownError(UpstreamError):
    """It cannot be reached, broke the connection, or answered with another status than 200."""


class UpstreamTimeoutError(UpstreamError):
    """It did not answer in time."""


def get(path: str, *, timeout: float = TIMEOUT) -> bytes:
    """Return the body of the API's answer to ``GET path``."""
    try:
        try:
            response = _get(path, timeout)
        except urllib3.exceptions.ProtocolError:
            # A kept-alive connection that the API closed just as this request went out. Once more,
            # which is safe for a GET. A call that timed out is never repeated: the API is at work.
            response = _get(path, timeout)
    except urllib3.exceptions.NewConnectionError as error:
        raise UpstreamDownError(f"cannot connect to the API: {error}") from error
    except urllib3.exceptions.TimeoutError as error:
        raise UpstreamTimeoutError(f"no answer from the API in time: {error}") from error
    except urllib3.exceptions.HTTPError as error:
        raise UpstreamDownError(f"the API broke off: {error}") from error
    if response.status != 200:  # noqa: PLR2004
        raise UpstreamDownError(f"the API answered with status {response.status}")
    return response.data


def _get(path: str, timeout: float) -> urllib3.BaseHTTPResponse:
    limits = urllib3.Timeout(connect=min(CONNECT_TIMEOUT, timeout), read=timeout)
    return _pool.urlopen("GET", _PREFIX + path, retries=False, redirect=False, timeout=limits)
