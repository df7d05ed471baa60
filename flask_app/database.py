"""A pool of Postgres connections for threads and for greenlets.

It waits, first come first served, where ``psycopg2.pool`` raises; it keeps every connection that it
has opened, opens them outside its lock, and lends none that broke or died while idle: after a
restart of Postgres no request fails. Under gevent it needs psycogreen (``patched.py``). Safe after
a fork; uWSGI tells Python of one only with ``lazy-apps`` or ``py-call-osafterfork``.

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
import threading
from collections import deque
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
        self._size = size
        self._lock = threading.Lock()
        # One slot per connection, empty until that is opened. The last one put back is the first
        # one taken, so no more are opened than are needed at once.
        self._slots: list[connection | None] = [None] * size
        # First come, first served: with a plain semaphore a newcomer overtakes those who wait.
        self._waiting: deque[queue.SimpleQueue[connection | None]] = deque()
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """Let go of the parent's: two processes on one connection would mix up its answers.

        Not by closing them: that would end them for the parent, too.
        """
        self._parents = self._slots
        self._slots = [None] * self._size
        self._waiting = deque()
        self._lock = threading.Lock()  # held, perhaps, by a thread that is not here

    @contextmanager
    def lend(self, wait: float) -> Iterator[connection]:
        """Lend a live connection, and wait up to ``wait`` seconds for one."""
        held = self._take(wait)
        whole = False
        try:
            if held is None or not _alive(held):
                _discard(held)
                held = None
                held = self._connect()
            yield held
            whole = True
        finally:
            # After any error, a greenlet killed in mid-query included, nobody knows what the
            # connection is in the middle of.
            if not whole:
                _discard(held)
                held = None
            self._give(held)

    def _take(self, wait: float) -> connection | None:
        with self._lock:
            if self._slots:
                return self._slots.pop()
            turn: queue.SimpleQueue[connection | None] = queue.SimpleQueue()
            self._waiting.append(turn)
        try:
            return turn.get(timeout=wait)
        except BaseException as error:
            with self._lock:
                served = turn not in self._waiting
                if not served:
                    self._waiting.remove(turn)
            if served:  # just as it gave up
                self._give(turn.get_nowait())
            if isinstance(error, queue.Empty):
                raise PoolExhaustedError(f"no connection became free in {wait:g} s") from None
            raise

    def _give(self, held: connection | None) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().put(held)
            else:
                self._slots.append(held)


def sleep(seconds: float) -> None:
    """Let Postgres sleep: a query of a known duration."""
    _execute("SELECT pg_sleep(%s)", (seconds,), wait=POOL_WAIT)


def ping(wait: float) -> None:
    """Do one round trip. Raise if there is no answer."""
    _execute("SELECT 1", (), wait=wait)


def _execute(query: str, values: tuple[float, ...], *, wait: float) -> None:
    try:
        with _pool.lend(wait) as held, held.cursor() as cursor:
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
