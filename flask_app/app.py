"""The app that every deployment serves: its routes, and what a failure looks like to a client.

Nothing here knows which server runs it. Replace it with your own app, or point ``FLASK_APP`` at
that: ``module:app`` or ``module:create_app()``.

============ ==================================================================
/?delay=     calls the API, which takes ``delay`` seconds (0 to 30; 1)
/db?delay=   half of the delay in the API, half in Postgres
/hello       no I/O
/cpu?ms=     computes for ``ms`` milliseconds of CPU time (0 to 10000; 20)
/healthz     this process answers
/readyz      the API answers, and the database does where one is configured
============ ==================================================================
"""

import re
import time

from flask import Response, jsonify, request

import database
import upstream
from lean_flask import Flask

MAX_DELAY = 30.0
DEFAULT_DELAY = 1.0
MAX_MS = 10_000.0
DEFAULT_MS = 20.0
READY_TIMEOUT = 2.0

# One fixed body per route: an answer can be checked byte by byte.
API_BODY = "answered by the API\n"
DB_BODY = "answered by the API and the database\n"
HELLO_BODY = "hello\n"
CPU_BODY = "computed\n"
HEALTHY_BODY = "healthy\n"
READY_BODY = "ready\n"

TEXT = {"Content-Type": "text/plain; charset=utf-8"}
NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)

Answer = tuple[str, dict[str, str]]

app = Flask(__name__)


@app.get("/")
def api() -> Answer:
    """Wait for the API."""
    delay = number("delay", default=DEFAULT_DELAY, most=MAX_DELAY)
    upstream.get(f"/?delay={delay}")
    return API_BODY, TEXT


@app.get("/db")
def db() -> Answer:
    """Wait for the API, then for the database: a connection is held only for its own half."""
    delay = number("delay", default=DEFAULT_DELAY, most=MAX_DELAY)
    upstream.get(f"/?delay={delay / 2}")
    database.sleep(delay / 2)
    return DB_BODY, TEXT


@app.get("/hello")
def hello() -> Answer:
    """Answer at once."""
    return HELLO_BODY, TEXT


@app.get("/cpu")
def cpu() -> Answer:
    """Compute, by this thread's own CPU clock: waiting for a core does not count."""
    end = time.thread_time() + number("ms", default=DEFAULT_MS, most=MAX_MS) / 1000
    while time.thread_time() < end:
        sum(range(1000))
    return CPU_BODY, TEXT


@app.get("/healthz")
def healthz() -> Answer:
    """Say that this process answers; for the supervisor that would restart it."""
    return HEALTHY_BODY, TEXT


@app.get("/readyz")
def readyz() -> Answer | tuple[Response, int, dict[str, str]]:
    """Say whether what this app needs is there; for the load balancer that sends requests."""
    down = {}
    try:
        upstream.get("/healthz", timeout=min(READY_TIMEOUT, upstream.TIMEOUT))
    except upstream.UpstreamError as error:
        down["api"] = str(error)
    if database.URL:
        try:
            database.ping(wait=min(READY_TIMEOUT, database.POOL_WAIT))
        except database.PoolExhaustedError:
            pass  # busy, not down: every instance would leave the load balancer at once
        except database.DatabaseError as error:
            down["database"] = str(error)
    if not down:
        return READY_BODY, TEXT
    app.logger.warning("not ready: %s", down)
    return jsonify(error="not ready", down=sorted(down)), 503, {"Retry-After": "1"}


class BadNumberError(ValueError):
    """A parameter is not what the route takes."""


def number(name: str, *, default: float, most: float) -> float:
    """Return a parameter of the query: one plain number from 0 to ``most``."""
    given = request.args.getlist(name)
    if not given:
        return default
    # a pattern first: float() would take "nan", "inf" and "1_000" too
    if len(given) == 1 and NUMBER.fullmatch(given[0]) and (value := float(given[0])) <= most:
        return value
    raise BadNumberError(f"{name} must be one number from 0 to {most:g}, as in {name}={default:g}")


@app.errorhandler(BadNumberError)
def bad_number(error: BadNumberError) -> tuple[Response, int]:
    """Say what is allowed."""
    return jsonify(error=str(error)), 400


# The log says what happened; the client learns only who failed and whether to come back.
@app.errorhandler(upstream.UpstreamError)
def upstream_failed(error: upstream.UpstreamError) -> tuple[Response, int]:
    """Blame the API: too slow is 504, anything else 502."""
    app.logger.error("%s: %s", request.path, error)
    if isinstance(error, upstream.UpstreamTimeoutError):
        return jsonify(error="the API took too long"), 504
    return jsonify(error="the API is down"), 502


@app.errorhandler(database.DatabaseError)
def database_failed(error: database.DatabaseError) -> tuple[Response, int, dict[str, str]]:
    """Ask the client to come back: the database is down or too busy."""
    app.logger.error("%s: %s", request.path, error)
    if isinstance(error, database.PoolExhaustedError):
        text = "all database connections are in use"
    elif not database.URL:
        text = "no database is configured: DATABASE_URL is not set"
    elif isinstance(error, database.DatabaseTimeoutError):
        text = "the database took too long"
    else:
        text = "the database is down"
    return jsonify(error=text), 503, {"Retry-After": "1"}
