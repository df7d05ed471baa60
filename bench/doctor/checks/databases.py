"""How the app talks to its database: who shares a connection, and how many there will be."""

import ast
from collections.abc import Iterator

from bench.doctor.facts import Engine, Facts, Rule
from bench.doctor.findings import Check, Evidence, Finding
from bench.doctor.sources import Use

CONNECTS = (
    "psycopg2.connect", "psycopg.connect", "pymysql.connect", "MySQLdb.connect",
    "mysql.connector.connect", "pymssql.connect", "pyodbc.connect", "oracledb.connect",
)  # fmt: skip
COPIES = frozenset({"copy_from", "copy_to", "copy_expert", "lobject"})
RAISING_POOLS = (
    "psycopg2.pool.SimpleConnectionPool", "psycopg2.pool.ThreadedConnectionPool",
)  # fmt: skip
ONE_CONNECTION = ("StaticPool", "SingletonThreadPool", "AssertionPool")
BOUNDS = {"postgresql": 97, "mysql": 151, "mariadb": 151}
"""Connections that a server takes without settings: Postgres max_connections 100, less 3 that are
reserved; MySQL 151."""
IN_MEMORY = "sqlite"

NOT_GREEN = Check(
    "psycopg2-not-green",
    "error",
    "psycopg2 blocks the whole process",
    "psycopg2 is written in C, which gevent cannot patch: each query holds up every other request"
    " of its worker. Measured: three queries of 0.3 s at once take 0.92 s, with psycogreen 0.31 s.",
    "https://www.psycopg.org/docs/advanced.html#support-for-coroutine-libraries",
    "{python} -m pip install psycogreen; flask_app/patched.py then calls patch_psycopg() in time.",
)
SHARED = Check(
    "shared-database-connection",
    "error",
    "One database connection for all requests",
    "Two requests at once meet on it: psycopg2 raises 'execute cannot be used while an asynchronous"
    " query is underway', others mix up their answers, and all share one transaction. After a fork"
    " it is even shared by processes.",
    "https://www.psycopg.org/docs/usage.html#thread-and-process-safety",
    "Use a pool (flask_app/database.py), and take a connection for each query.",
)
PER_REQUEST = Check(
    "connection-per-request",
    "warning",
    "A database connection is opened in each request",
    "It costs a handshake per request, and nothing bounds it: above max_connections requests fail."
    " Measured: 1,748 of 2,000 requests failed at 200 at once.",
    "https://www.postgresql.org/docs/current/runtime-config-connection.html",
    "Take it from a pool of a fixed size (flask_app/database.py), or put PgBouncer between.",
)
COPY = Check(
    "green-copy",
    "error",
    "COPY or large objects with a green psycopg2",
    "psycopg2 supports neither while a wait callback is set: the call raises.",
    "https://www.psycopg.org/docs/advanced.html#support-for-coroutine-libraries",
    "Do this in a process without gevent (a job), or insert with execute_values().",
)
CONNECT_TIMEOUT = Check(
    "green-connect-timeout",
    "note",
    "connect_timeout has no effect in green mode",
    "With a wait callback psycopg2 connects without it: a host that does not answer holds the"
    " request for minutes.",
    "psycogreen#2",
    "Connect inside a timeout of gevent's (with gevent.Timeout(5): …), as flask_app/database.py"
    " does.",
)
RAISES = Check(
    "psycopg2-pool-raises",
    "warning",
    "psycopg2's pool raises when it is empty",
    "Its getconn() does not wait: the first request above maxconn gets a PoolError.",
    "https://www.psycopg.org/docs/pool.html",
    "Wait in front of it with a semaphore of maxconn, or use the pool of flask_app/database.py.",
)
STATIC_POOL = Check(
    "pool-of-one",
    "error",
    "An engine that has one connection, or one per thread",
    "StaticPool lends one connection to all greenlets at once, AssertionPool raises at the second,"
    " and SingletonThreadPool opens one per greenlet without a bound.",
    "https://docs.sqlalchemy.org/en/20/core/pooling.html",
    "Leave poolclass out: QueuePool waits as it should.",
)
EXCEEDS = Check(
    "pool-exceeds-server",
    "warning",
    "More connections than the database takes",
    "Workers × pool is above what the server takes without further settings: under load requests"
    " fail with 'too many clients'. A rolling deploy has twice as many.",
    "https://www.postgresql.org/docs/current/runtime-config-connection.html",
    "Lower pool_size + max_overflow to {each} or less, raise max_connections, or put PgBouncer"
    " between.",
)
BOUNDS_REQUESTS = Check(
    "pool-bounds-requests",
    "note",
    "The pool is smaller than the requests at once",
    "That is right as such. Requests above it wait for a connection, and after the pool's timeout"
    " they fail.",
    "https://docs.sqlalchemy.org/en/20/core/pooling.html#sqlalchemy.pool.QueuePool",
    "Hold a connection for the query and not for the whole request, and set pool_timeout to what"
    " a client waits.",
)


def not_green(facts: Facts) -> Iterator[Finding]:
    """Find that psycogreen is missing, or was not applied."""
    details = {"python": str(facts.app.python)}
    if facts.imported.psycogreen_error:
        message = "psycopg2 is installed and psycogreen is not: the entrypoint ends at its start"
        evidence = Evidence(facts.imported.psycogreen_error)
        yield Finding(NOT_GREEN, message, (evidence,), details)
    elif facts.imported.gevent and facts.imported.psycopg2 and not facts.imported.psycopg2.green:
        message = "psycopg2 is loaded without a wait callback"
        evidence = Evidence("psycopg2.extensions.get_wait_callback() is None")
        yield Finding(NOT_GREEN, message, (evidence,), details)


def shared(facts: Facts) -> Iterator[Finding]:
    """Find connections at the top level of own modules."""
    for name in facts.imported.database_connections:
        yield Finding(
            SHARED,
            f"{name.module}.{name.name} is a connection that was opened by the import",
            (facts.line_of(name.module, name.name),),
        )


def per_request(facts: Facts) -> Iterator[Finding]:
    """Find views, and what they call, that open a connection."""
    for use in facts.sources.calls(*CONNECTS):
        if facts.sources.in_request(use) and not use.is_kept:
            yield Finding(PER_REQUEST, f"{use.where} opens one", (use.evidence,))


def copy(facts: Facts) -> Iterator[Finding]:
    """Find these methods in files that use psycopg2, except in commands and below ``__main__``."""
    for module in dict.fromkeys(each.module for each, _, _ in facts.sources.imports("psycopg2")):
        source = facts.sources.by_module[module]
        for node in ast.walk(source.tree):
            called = node.func if isinstance(node, ast.Call) else None
            if node in source.of_a_shell or not isinstance(called, ast.Attribute):
                continue
            if called.attr in COPIES:
                evidence = source.evidence(called.lineno)
                yield Finding(COPY, f"{called.attr}() is called", (evidence,))


def connect_timeout(facts: Facts) -> Iterator[Finding]:
    """Find it among the arguments of psycopg2.connect, except where there is no gevent."""
    for use in facts.sources.calls("psycopg2.connect"):
        if use.call.is_of_a_shell or _is_bounded(use):
            continue
        if use.call.argument("connect_timeout") is not None:
            yield Finding(CONNECT_TIMEOUT, f"{use.where} relies on it", (use.evidence,))


def _is_bounded(use: Use) -> bool:
    """Tell whether a call is made inside a ``with``, which may well bound it."""
    function = use.call.function
    return any(
        use.call.node in ast.walk(inner)
        for outer in ast.walk(function.node if function else ast.Module([], []))
        if isinstance(outer, ast.With)
        for inner in outer.body
    )


def raises(facts: Facts) -> Iterator[Finding]:
    """Find these pools in files that do not wait in front of them."""
    for use in facts.sources.calls(*RAISING_POOLS):
        if "Semaphore" not in use.source.text:
            name = use.call.name.rpartition(".")[2]
            yield Finding(RAISES, f"{use.where} makes a {name}", (use.evidence,))


def static_pool(facts: Facts) -> Iterator[Finding]:
    """Find engines of a server that have such a pool."""
    for engine in facts.imported.engines:
        if engine.dialect != IN_MEMORY and engine.pool in ONE_CONNECTION:
            yield Finding(STATIC_POOL, f"an engine has a {engine.pool}", (_evidence(engine),))


def exceeds(facts: Facts) -> Iterator[Finding]:
    """Compare workers × pool with what the server takes."""
    pools = [(e.dialect, e.most, _evidence(e)) for e in facts.imported.engines if e.most]
    pools += [
        ("postgresql", pool.max, Evidence(f"{pool.kind}(max_size={pool.max})"))
        for pool in facts.imported.pools
    ]
    for dialect, most, evidence in pools:
        bound = BOUNDS.get(dialect)
        needs: dict[tuple[int, int], list[str]] = {}
        for deployment in facts.deployments if bound else ():
            each = min(most or 0, (deployment.slots or most or 0) // deployment.processes)
            needs.setdefault((deployment.processes, each), []).append(deployment.name)
        for (workers, each), names in needs.items():
            if bound and workers * each > bound:
                message = (
                    f"{', '.join(names)}: {workers} workers × {each} connections ="
                    f" {workers * each}, above the {bound} of {dialect}"
                )
                yield Finding(EXCEEDS, message, (evidence,), {"each": str(bound // workers)})


def bounds_requests(facts: Facts) -> Iterator[Finding]:
    """Tell of pools that are smaller than what a worker holds."""
    for engine in facts.imported.engines:
        most = engine.most
        slots = max(((d.slots or 0) // d.processes for d in facts.cooperative), default=0)
        if engine.dialect in BOUNDS and most and most < slots:
            wait = f" up to {engine.timeout:g} s" if engine.timeout else ""
            message = f"{most} connections per worker for {slots} requests: the others wait{wait}"
            yield Finding(BOUNDS_REQUESTS, message, (_evidence(engine),))


def _evidence(engine: Engine) -> Evidence:
    overflow = "" if engine.overflow is None else f", max_overflow={engine.overflow}"
    size = "" if engine.size is None else f"size={engine.size}{overflow}"
    return Evidence(f"{engine.url}: {engine.pool}({size})")


RULES: tuple[Rule, ...] = (
    Rule(NOT_GREEN, not_green),
    Rule(SHARED, shared, gevent_only=False),
    Rule(PER_REQUEST, per_request, gevent_only=False),
    Rule(COPY, copy),
    Rule(CONNECT_TIMEOUT, connect_timeout),
    Rule(RAISES, raises, gevent_only=False),
    Rule(STATIC_POOL, static_pool, gevent_only=False),
    Rule(EXCEEDS, exceeds, gevent_only=False),
    Rule(BOUNDS_REQUESTS, bounds_requests),
)
