"""What the async peers share: the delay that a request asks for, and one pooled client of the API.

The limits are those of ``flask_app/upstream.py``. So are the settings, by environment: API_URL
(http://127.0.0.1:8800) and API_TIMEOUT (35 seconds of silence).
"""

import logging
import os
import re
from collections.abc import Sequence
from typing import ClassVar

import aiohttp

API_URL = os.environ.get("API_URL", "http://127.0.0.1:8800").rstrip("/")
TIMEOUT = float(os.environ.get("API_TIMEOUT", "35"))
CONNECT_TIMEOUT = min(TIMEOUT, 10.0)

MAX_DELAY = 30.0
DEFAULT_DELAY = 1.0
NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)

logger = logging.getLogger(__name__)


class RefusedError(Exception):
    """A request that is answered with ``status`` and with this text as its error."""

    status: ClassVar[int]


class BadDelayError(RefusedError):
    """The query's delay is not what the route takes."""

    status = 400


class ApiDownError(RefusedError):
    """The API cannot be reached, broke off, or answered with another status than 200."""

    status = 502


class ApiTimeoutError(RefusedError):
    """The API did not answer in time."""

    status = 504


def parse_delay(given: Sequence[str]) -> float:
    """Return the one plain number from 0 to 30 among the query's values; without any, 1."""
    if not given:
        return DEFAULT_DELAY
    if len(given) == 1 and NUMBER.fullmatch(given[0]) and (delay := float(given[0])) <= MAX_DELAY:
        return delay
    raise BadDelayError(f"delay must be one number from 0 to {MAX_DELAY:g}, as in delay=1")


def open_client() -> aiohttp.ClientSession:
    """Return a client for the life of a process; to be called where its event loop runs.

    It never waits for a free connection, and keeps no cookies of one request for the next.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=TIMEOUT),
    )


async def call_api(client: aiohttp.ClientSession, delay: float) -> bytes:
    """Return what the API answers after ``delay`` seconds.

    A kept-alive connection that the API has just closed is aiohttp's to notice: it sends a GET
    once more.
    """
    try:
        async with client.get(f"{API_URL}/?delay={delay}", allow_redirects=False) as response:
            body = await response.read()
    except TimeoutError as error:
        logger.error("no answer from the API in time: %s", error)  # noqa: TRY400
        raise ApiTimeoutError("the API took too long") from error
    except aiohttp.ClientError as error:
        logger.error("no answer from the API: %s", error)  # noqa: TRY400
        raise ApiDownError("the API is down") from error
    if response.status != 200:  # noqa: PLR2004
        logger.error("the API answered with status %d", response.status)
        raise ApiDownError("the API is down")
    return body
