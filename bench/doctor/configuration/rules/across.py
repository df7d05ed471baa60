"""Limits that have to be in order across files: proxy, server, supervisor."""

from collections.abc import Iterator

from bench.doctor.configuration.formats.durations import seconds
from bench.doctor.configuration.model import Directive, Facts, Rule, Seen, Server, seen
from bench.doctor.configuration.rules import servers
from bench.doctor.configuration.rules.nginx import locations, upstream_of
from bench.doctor.findings import Check, Evidence

GRACE = {"compose": 10.0, "kubernetes": 30.0, "systemd": 90.0}
"""Supervisor → seconds from the stop signal to the kill, where nothing else is said.

Compose: stop_grace_period; Kubernetes: terminationGracePeriodSeconds; systemd: TimeoutStopSec.
"""
NGINX_KEEPALIVE = "60s"
"""An upstream's ``keepalive_timeout`` where it is not given, and ``proxy_read_timeout``, too."""


def _keep_alive_order(facts: Facts) -> Iterator[Seen]:
    used = [upstream_of(facts, location) for location in locations(facts, "proxy_pass")]
    for server in facts.of("gunicorn"):
        held = server.settings.number("keepalive", default=2)
        if held is None or servers.worker_class(server) == "sync":
            continue  # which closes after each answer
        for upstream in filter(None, used):
            given, place = _upstream_keep_alive(upstream)
            if given is not None and given >= held:
                yield seen(
                    f"nginx keeps connections for {given:g} s and gunicorn for {held:g} s",
                    place,
                    servers.place(server, "keepalive"),
                    seconds=f"{held:g}",
                )


def _upstream_keep_alive(upstream: Directive) -> tuple[float | None, Evidence]:
    keep = upstream.inside("keepalive")
    if not keep:
        return None, upstream.evidence
    timeout = upstream.inside("keepalive_timeout")
    given = timeout[0].first if timeout else NGINX_KEEPALIVE
    return seconds(given), (timeout or keep)[0].evidence


def _graceful_below_keep_alive(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("gunicorn"):
        held = server.settings.number("keepalive", default=2)
        graceful = server.settings.number("graceful_timeout", default=30)
        if held is None or graceful is None or servers.worker_class(server) == "sync":
            continue
        if graceful < held:
            yield seen(
                f"graceful_timeout is {graceful:g} s and keepalive {held:g} s",
                servers.place(server, "graceful_timeout"),
                servers.place(server, "keepalive"),
            )


def _stop_grace(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("gunicorn", "uwsgi"):
        graceful, supervisor = servers.graceful_seconds(server), server.supervisor
        if graceful is None or supervisor is None or supervisor.kind not in GRACE:
            continue
        grace = supervisor.settings.number("stop-grace", default=GRACE[supervisor.kind])
        if grace is not None and grace < graceful:
            setting = supervisor.settings.last("stop-grace")
            yield seen(
                f"{supervisor.name} is killed after {grace:g} s, and {server.kind} finishes"
                f" requests for up to {graceful:g} s",
                setting.evidence if setting else supervisor.evidence,
                servers.place(server, "graceful_timeout", "worker-reload-mercy"),
                seconds=f"{graceful + 5:g}",
            )


def _read_timeout(facts: Facts) -> Iterator[Seen]:
    for directive, kind in (("proxy_pass", "gunicorn"), ("uwsgi_pass", "uwsgi")):
        name = directive.replace("pass", "read_timeout")
        for location in locations(facts, directive):
            given = location.effective(name)
            waits = seconds(given[0].first if given else NGINX_KEEPALIVE)
            place = given[0].evidence if given else location.passes.evidence
            for server in facts.of("gunicorn", "uwsgi"):
                longest, where = _longest_request(server)
                if (
                    server.kind == kind
                    and waits is not None
                    and longest is not None
                    and waits < longest
                ):
                    yield seen(
                        f"nginx waits {waits:g} s for an answer, and {kind} allows {longest:g} s",
                        place,
                        where,
                        directive=name,
                        seconds=f"{longest:g}",
                    )


def _longest_request(server: Server) -> tuple[float | None, Evidence]:
    """Return how long a request may take by what is set; a default says nothing of the app."""
    names = ["graceful_timeout", "worker-reload-mercy", "harakiri"]
    if servers.worker_class(server) == "sync":
        names.append("timeout")
    given = [
        setting for name in names if (setting := server.settings.last(name)) and setting.number
    ]
    longest = max(given, key=lambda setting: setting.number or 0, default=None)
    return (longest.number, longest.evidence) if longest else (None, server.evidence)


RULES: tuple[Rule, ...] = (
    Rule(
        Check(
            "keepalive-order", "warning", "The server closes connections before the proxy does",
            "A request that nginx sends over a connection that gunicorn is just closing is a 502.",
            "gunicorn#2297",
            "Set the upstream's keepalive_timeout below {seconds} s, or gunicorn's keepalive above"
            " that.",
        ),
        _keep_alive_order,
    ),
    Rule(
        Check(
            "graceful-below-keepalive", "warning", "Idle connections outlast the graceful stop",
            "A stop waits for kept-alive connections until graceful_timeout, and then breaks"
            " whatever is under way.",
            "gunicorn#2297",
            "Set graceful_timeout above keepalive and above the longest request.",
        ),
        _graceful_below_keep_alive,
    ),
    Rule(
        Check(
            "stop-grace-too-short", "warning", "Killed before the graceful stop is over",
            "The supervisor's patience ends first: requests that the server would have finished are"
            " broken at each deploy.",
            "Compose: stop_grace_period (10 s); Kubernetes: terminationGracePeriodSeconds (30 s);"
            " systemd: TimeoutStopSec (90 s)",
            "Give it {seconds} s or more, or shorten the server's own limit.",
        ),
        _stop_grace,
    ),
    Rule(
        Check(
            "nginx-read-timeout", "warning", "nginx gives up before the app does",
            "The client gets nginx's 504 while the app goes on working for nobody.",
            "nginx's documentation, proxy_read_timeout (60 s)",
            "Set {directive} above {seconds} s: each limit above the one that it contains.",
        ),
        _read_timeout,
    ),
)  # fmt: skip
