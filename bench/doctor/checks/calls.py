"""Calls of other services: bounded in time, and over kept connections."""

import ast
from collections.abc import Iterator

from bench.doctor.facts import Facts, Rule
from bench.doctor.findings import Check, Finding
from bench.doctor.sources import Use

METHODS = ("get", "post", "put", "delete", "patch", "head", "options", "request")
PER_CALL = tuple(f"requests.{method}" for method in METHODS)
OF_A_SESSION = tuple(f"requests.Session().{method}" for method in METHODS)
NEW_SESSION = ("requests.Session", "requests.session", "requests.sessions.Session")
TIMEOUT_AT: dict[str, int | None] = {
    **dict.fromkeys((*PER_CALL, *OF_A_SESSION)),
    "urllib.request.urlopen": 2,
    "http.client.HTTPConnection": 2,
    "http.client.HTTPSConnection": None,
    "socket.create_connection": 1,
    "smtplib.SMTP": 3,
    "smtplib.SMTP_SSL": None,
}
"""Call → the place of its timeout among the arguments; ``None``: only by name."""
DEFAULT_POOL = 10
"""Connections to a host that a session of requests keeps (requests.adapters.DEFAULT_POOLSIZE)."""

NO_TIMEOUT = Check(
    "call-without-timeout",
    "warning",
    "A call that may wait for ever",
    "A service that does not answer holds the request, its slot and its memory for good; under load"
    " all slots are taken this way.",
    "https://docs.python-requests.org/en/latest/user/advanced/#timeouts",
    "Pass a timeout in seconds; requests takes two, to connect and between bytes:"
    " timeout=(3.05, 10)",
)
NO_POOL = Check(
    "call-without-pool",
    "warning",
    "A new connection for each call",
    "Each call makes a session, a connection and a TLS handshake and throws them away. Measured:"
    " 2.0 ms of CPU per request instead of 0.6 ms, and a local port for a minute each.",
    "docs/performance.md",
    "Keep one session at the module's top level, or take flask_app/http_client.py or"
    " flask_app/pooled_requests.py.",
)
SMALL_POOL = Check(
    "small-http-pool",
    "warning",
    "A session that keeps ten connections",
    "Above that a session opens a connection for the call and throws it away afterwards.",
    "requests.adapters.DEFAULT_POOLSIZE",
    "Mount an adapter for the calls at once: session.mount('https://',"
    " HTTPAdapter(pool_maxsize=200))",
)


def no_timeout(facts: Facts) -> Iterator[Finding]:
    """Find calls without one, except in commands and below ``__main__``."""
    sources = facts.sources
    bounded = any(True for _ in sources.calls("socket.setdefaulttimeout"))
    own_adapter = any(True for _ in sources.subclasses("HTTPAdapter"))
    for use in sources.calls(*TIMEOUT_AT):
        call = use.call
        if call.is_of_a_shell or call.is_open:
            continue
        of_requests = call.name.startswith("requests.")
        if (own_adapter and call.name in OF_A_SESSION) or (bounded and not of_requests):
            continue  # that may well set it
        given = call.argument("timeout", TIMEOUT_AT[call.name])
        if given is None or (isinstance(given, ast.Constant) and given.value is None):
            yield Finding(NO_TIMEOUT, f"{_spoken(use)} in {use.where} has none", (use.evidence,))


def no_pool(facts: Facts) -> Iterator[Finding]:
    """Find calls of ``requests`` itself, and sessions made, while a request is served."""
    for use in facts.sources.calls(*PER_CALL, *NEW_SESSION):
        made_once = use.call.name in NEW_SESSION and use.is_kept
        if facts.sources.in_request(use) and not made_once:
            yield Finding(NO_POOL, f"{_spoken(use)} in {use.where}", (use.evidence,))


def small_pool(facts: Facts) -> Iterator[Finding]:
    """Find sessions of own modules with the pool that they come with."""
    slots = max((each.slots or 0) // each.processes for each in facts.deployments)
    for session in facts.imported.http_sessions:
        if 0 < session.maxsize <= DEFAULT_POOL < slots:
            yield Finding(
                SMALL_POOL,
                f"{session.module}.{session.name} keeps {session.maxsize} connections to a host; a"
                f" worker serves up to {slots} requests at once",
                (facts.line_of(session.module, session.name),),
            )


def _spoken(use: Use) -> str:
    name = use.call.name
    return f"session.{name.rpartition('.')[2]}()" if name in OF_A_SESSION else f"{name}()"


RULES: tuple[Rule, ...] = (
    Rule(NO_TIMEOUT, no_timeout, gevent_only=False),
    Rule(NO_POOL, no_pool, gevent_only=False),
    Rule(SMALL_POOL, small_pool, gevent_only=False),
)
