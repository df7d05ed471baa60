"""A pool of Postgres connections for threads and for greenlets.

It waits where ``psycopg2.pool`` raises, keeps every connection that it has opened, opens them
outside any lock, and gives none away that broke or died while idle: after a restart of Postgres
no request fails. Under gevent, psycogreen has to be set up first (``patched.py``).

Settings, by environment:

============ ======= =====================================================================
DATABASE_URL         postgresql://user:password@host:port/name; nothing is opened before first use
DB_POOL_SIZE 20      connections per *process*: workers x this stays below Postgres's
                     max_connections (100); beyond that PgBouncer
DB_POOL_WAIT 10      seconds that a request waits for a connection
DB_TIMEOUT   20      seconds that a statement may take; above the longest one in order (15 s)
============ ======= =====================================================================
"""

import os
import queue
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg2
from psycopg2.extensions import QueryCanceledError, connection, get_wait_callback, parse_dsn

URL = os.environ.get("DATABASE_URL", "")
POOL_SIZE = int(os.environ.get("DB_POOL_SIZE", "20"))
POOL_WAIT = float(os.environ.get("DB_POOL_WAIT", "10"))
STATEMENT_TIMEOUT = float(os.environ.get("DB_TIMEOUT", "20"))
CONNECT_TIMEOUT = 5


class DatabaseError(Exception):
    """The database gave no answer."""


class DatabaseDownError(DatabaseError):
    """It is not configured, cannot be reached, or broke off."""


class DatabaseTimeoutError(DatabaseError):
    """A statement took longer than ``DB_TIMEOUT``."""


class PoolExhaustedError(DatabaseError):
    """All connections stayed in use for longer than a request waits."""


class Pool:
    """At most ``size`` connections, each opened when it is first needed."""

    def __init__(self, connect: Callable[[], connection], size: int) -> None:
        self._connect = connect
        # One slot per connection, empty until it is opened. The last one put back is the first
        # one taken, so no more are opened than are needed at once.
        self._slots: queue.LifoQueue[connection | None] = queue.LifoQueue()
        for _ in range(size):
            self._slots.put(None)

    @contextmanager
    def connection(self, wait: float) -> Iterator[connection]:
        """Lend a live connection, and wait up to ``wait`` seconds for one."""
        try:
            held = self._slots.get(timeout=wait)
        except queue.Empty:
            raise PoolExhaustedError(f"no connection became free within {wait:g} s") from None
        whole = False
        try:
            if held is None or not _alive(held):
                _discard(held)
                held = None
                held = self._connect()
            yield held
            whole = not held.closed
        finally:
            # After any error, a greenlet killed in mid-query included, nobody knows what the
            # connection is in the middle of.
            if not whole:
                _discard(held)
                held = None
            self._slots.put(held)


def sleep(seconds: float) -> None:
    """Let Postgres sleep: a query of a known duration."""
    _execute("SELECT pg_sleep(%s)", (seconds,), wait=POOL_WAIT)


def ping(wait: float) -> None:
    """Do one round trip. Raise if there is no answer."""
    _execute("SELECT 1", (), wait=wait)


def _execute(query: str, values: tuple[float, ...], *, wait: float) -> None:
    try:
        with _pool.connection(wait) as held, held.cursor() as cursor:
            cursor.execute(query, values)
    except QueryCanceledError as error:
        raise DatabaseTimeoutError(f"the database took too long: {error}") from error
    except psycopg2.Error as error:
        raise DatabaseDownError(f"the database is down: {error}") from error


def _connect() -> connection:
    if not URL:
        raise DatabaseDownError("DATABASE_URL is not set")
    own = parse_dsn(URL).get("options", "")
    with _bound(CONNECT_TIMEOUT):
        opened = psycopg2.connect(
            URL,
            connect_timeout=CONNECT_TIMEOUT,
            tcp_user_timeout=10_000,  # ms until a peer that vanished counts as gone
            # The server ends a statement; a client that just stops listening leaves it running.
            # (Behind PgBouncer: ignore_startup_parameters = options, and set it for the role.)
            options=f"-c statement_timeout={STATEMENT_TIMEOUT * 1000:.0f} {own}",
        )
    # One round trip per statement, and no transaction left open while the app does other things.
    opened.autocommit = True
    return opened


@contextmanager
def _bound(seconds: float) -> Iterator[None]:
    """End a connect that hangs: libpq's own timeout does nothing in green mode (psycogreen#2)."""
    if get_wait_callback() is None:
        yield
        return
    from gevent import Timeout  # noqa: PLC0415  (not there under threads)

    with Timeout(seconds, psycopg2.OperationalError(f"no connection within {seconds:g} s")):
        yield


def _alive(idle: connection) -> bool:
    """Say whether an idle connection still is: one with something to read has been ended."""
    if idle.closed:
        return False
    poll = select.poll()  # not select(): that fails above 1,024 file descriptors
    poll.register(idle.fileno(), select.POLLIN)
    return not poll.poll(0)


def _discard(held: connection | None) -> None:
    if held is not None:
        with suppress(psycopg2.Error):
            held.close()


_pool = Pool(_connect, POOL_SIZE)
