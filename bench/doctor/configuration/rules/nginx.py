"""nginx: what it passes on, and how it keeps connections to the app."""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.doctor.configuration.formats.compose import signal_name
from bench.doctor.configuration.model import Directive, Facts, Rule, Seen, Supervisor, seen
from bench.doctor.configuration.rules import servers
from bench.doctor.findings import Check

FORWARDED = frozenset({"x-forwarded-for", "x-forwarded-proto", "forwarded"})


@dataclass(frozen=True)
class Location:
    """A ``proxy_pass`` or ``uwsgi_pass``, with all blocks around it, the outermost first."""

    passes: Directive
    around: tuple[Directive, ...]

    def effective(self, name: str) -> tuple[Directive, ...]:
        """Return what holds here: a block that has any of a name sets those around it aside."""
        for block in reversed(self.around):
            if found := block.inside(name):
                return found
        return ()

    @property
    def address(self) -> str:
        """Where it passes to: an upstream's name, or host and port."""
        return self.passes.first.rpartition("://")[2].partition("/")[0]

    def headers(self) -> dict[str, tuple[str, Directive]]:
        """Return the headers that are set, by name in lower case."""
        return {
            each.first.lower(): (" ".join(each.arguments[1:]), each)
            for each in self.effective("proxy_set_header")
        }


def locations(facts: Facts, *names: str) -> Iterator[Location]:
    """Yield where requests are passed on by one of these directives."""

    def walk(block: Directive, around: tuple[Directive, ...]) -> Iterator[Location]:
        around = (*around, block)
        for each in block.block:
            if each.name in names:
                yield Location(each, around)
            yield from walk(each, around)

    for file in facts.nginx:
        yield from walk(file, ())


def upstream_of(facts: Facts, location: Location) -> Directive | None:
    """Return the upstream that a location names: of its own file if there are several."""
    for file in (location.around[0], *facts.nginx):
        for block in (file, *file.inside("http")):
            for upstream in block.inside("upstream"):
                if upstream.first == location.address:
                    return upstream
    return None


def _keeps_alive(facts: Facts) -> bool:
    """Say whether a server that is known here keeps connections open; with none known it may."""
    known = facts.of("gunicorn", "uwsgi")
    return not known or any(
        server.kind == "gunicorn" and servers.worker_class(server) != "sync" for server in known
    )


def _no_keep_alive(facts: Facts) -> Iterator[Seen]:
    if not _keeps_alive(facts):
        return
    for location in locations(facts, "proxy_pass"):
        upstream = upstream_of(facts, location)
        if upstream is None and "$" not in location.address:
            yield seen(
                f"{location.passes.first} is passed to without an upstream that keeps connections",
                location.passes.evidence,
            )
        if upstream and not upstream.inside("keepalive"):
            yield seen(f"upstream {upstream.first} keeps no connection", upstream.evidence)


def _http_1_0(facts: Facts) -> Iterator[Seen]:
    for location in locations(facts, "proxy_pass"):
        upstream = upstream_of(facts, location)
        if upstream is None or not upstream.inside("keepalive"):
            continue
        version = next((each.first for each in location.effective("proxy_http_version")), "1.0")
        value, _ = location.headers().get("connection", ("close", None))
        if version == "1.0" or (value and value.lower() != "upgrade" and not value.startswith("$")):
            lacks = (
                "proxy_http_version 1.1" if version == "1.0" else 'proxy_set_header Connection ""'
            )
            yield seen(
                f"keepalive has no effect without {lacks}",
                location.passes.evidence,
                upstream.inside("keepalive")[0].evidence,
            )


def _forwarded(facts: Facts) -> Iterator[Seen]:
    for location in locations(facts, "proxy_pass"):
        headers = location.headers()
        included = (each for block in location.around for each in block.inside("include"))
        if any("proxy" in each.first for each in included):  # proxy_params of Debian and its like
            continue
        if not FORWARDED & headers.keys():
            yield seen("no X-Forwarded-For nor X-Forwarded-Proto is sent", location.passes.evidence)


def _stop_signal(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("nginx"):
        supervisor = server.supervisor
        if supervisor is None or supervisor.kind in {"script", "procfile"}:
            continue
        if _stops_by(supervisor) != "QUIT" and not supervisor.settings.last("stop-command"):
            setting = supervisor.settings.last("stop-signal")
            yield seen(
                "nginx is stopped by SIGTERM", setting.evidence if setting else server.evidence
            )


def _stops_by(supervisor: Supervisor) -> str:
    given = supervisor.settings.text("stop-signal")
    if given:
        return signal_name(given)
    # the official image asks for SIGQUIT itself
    image = supervisor.settings.text("image").rpartition("/")[2].lower()
    return "QUIT" if image.startswith("nginx") or supervisor.kind == "kubernetes" else "TERM"


def _few_files(facts: Facts) -> Iterator[Seen]:
    for file in facts.nginx:
        for events in file.inside("events"):
            for connections in events.inside("worker_connections"):
                files = file.inside("worker_rlimit_nofile")
                held, granted = (connections.first, files[0].first if files else "1024")
                if held.isdecimal() and granted.isdecimal() and int(granted) < int(held):
                    place = files[0] if files else connections
                    yield seen(
                        f"{held} connections and {granted} files per worker",
                        place.evidence,
                        connections.evidence,
                    )


RULES: tuple[Rule, ...] = (
    Rule(
        Check(
            "nginx-no-keepalive", "warning", "A new connection per request",
            "nginx opens a connection to the app for each request and closes it: CPU, latency, and"
            " a local port for 60 s each, of which there are 28,232.",
            "nginx's documentation, upstream: keepalive; the default before 1.29.7",
            "In the upstream set keepalive 64, and keepalive_timeout below the server's keepalive;"
            " in the location proxy_http_version 1.1 and proxy_set_header Connection \"\".",
        ),
        _no_keep_alive,
    ),
    Rule(
        Check(
            "nginx-http-1-0", "warning", "keepalive without effect",
            "Before 1.29.7 nginx speaks HTTP/1.0 to the app and sends Connection: close, whatever"
            " keepalive says. Headers set in a location set those of the blocks around it aside.",
            "nginx's documentation, upstream: keepalive, and proxy_set_header",
            "In the location set proxy_http_version 1.1 and proxy_set_header Connection \"\".",
        ),
        _http_1_0,
    ),
    Rule(
        Check(
            "nginx-no-forwarded", "warning", "The app sees nginx as its client",
            "Without X-Forwarded-For and -Proto addresses in logs and limits are the proxy's, and"
            " redirects and secure cookies take https for http.",
            "Flask's documentation, Tell Flask it is behind a proxy",
            "Set X-Forwarded-For, -Proto and -Host, and wrap the app in werkzeug's ProxyFix.",
        ),
        _forwarded,
    ),
    Rule(
        Check(
            "nginx-stop-signal", "warning", "SIGTERM drops what nginx has in flight",
            "On SIGTERM nginx closes all connections at once; on SIGQUIT it finishes them.",
            "nginx's documentation, Controlling nginx",
            "Set the stop signal to SIGQUIT: stop_signal (Compose), STOPSIGNAL (Dockerfile),"
            " KillSignal (systemd).",
        ),
        _stop_signal,
    ),
    Rule(
        Check(
            "nginx-few-files", "warning", "Fewer files than connections",
            "A proxied request takes two descriptors; a worker that has none left fails to accept.",
            "nginx's documentation, worker_rlimit_nofile",
            "Set worker_rlimit_nofile to twice worker_connections.",
        ),
        _few_files,
    ),
)  # fmt: skip
