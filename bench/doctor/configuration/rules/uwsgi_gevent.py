"""uWSGI with gevent: patching, and what does not go together."""

from collections.abc import Iterator

from bench.doctor.configuration.model import Facts, Rule, Seen, Server, Setting, seen
from bench.doctor.configuration.rules import servers
from bench.doctor.findings import Check


def _greenlets(facts: Facts) -> Iterator[tuple[Server, Setting]]:
    for server in facts.of("uwsgi"):
        if cores := servers.async_cores(server):
            yield server, cores


def _harakiri(facts: Facts) -> Iterator[Seen]:
    for server, cores in _greenlets(facts):
        setting = server.settings.last("harakiri")
        if setting and setting.number:
            yield seen(f"harakiri = {setting.text} beside gevent", setting.evidence, cores.evidence)


def _late_patch(facts: Facts) -> Iterator[Seen]:
    for server, _ in _greenlets(facts):
        setting = server.settings.on("gevent-monkey-patch")
        early = server.settings.on("gevent-early-monkey-patch")
        if setting and not early and server.settings.text("module-patches") != "first":
            yield seen("gevent-monkey-patch patches after the import of the app", setting.evidence)


def _unpatched(facts: Facts) -> Iterator[Seen]:
    options = ("gevent-monkey-patch", "gevent-early-monkey-patch")
    for server, cores in _greenlets(facts):
        module = server.settings.last("module-patches")
        if module and module.text == "never" and not server.settings.on(*options):
            yield seen(
                "gevent is on, and neither uWSGI nor the module that it imports patches",
                cores.evidence,
                module.evidence,
            )


def _keep_alive(facts: Facts) -> Iterator[Seen]:
    for server, cores in _greenlets(facts):
        found = server.settings.last("http11-socket")
        if found is None and server.settings.last("http-socket"):
            found = server.settings.on("http-keepalive")
        if found:
            yield seen(
                f"{found.name} keeps connections open under gevent", found.evidence, cores.evidence
            )


def _threads(facts: Facts) -> Iterator[Seen]:
    for server, cores in _greenlets(facts):
        setting = server.settings.last("threads")
        if setting and (setting.number or 0) > 1:
            yield seen(
                f"threads = {setting.text} beside gevent = {cores.text}",
                setting.evidence,
                cores.evidence,
            )


def _few_cores(facts: Facts) -> Iterator[Seen]:
    for _, cores in _greenlets(facts):
        if cores.number is not None and cores.number < 100:  # noqa: PLR2004 - a burst is more
            yield seen(f"{cores.text} requests at once per worker", cores.evidence)


RULES: tuple[Rule, ...] = (
    Rule(
        Check(
            "uwsgi-late-patch", "error", "uWSGI patches too late",
            "The option patches after the app has been imported: what the app has imported by then"
            " keeps the blocking socket, and HTTPS calls can end in a RecursionError.",
            "uwsgi#701, uwsgi#784",
            "Let module name one that patches first (patched.py in flask_app/), or set"
            " gevent-early-monkey-patch = true.",
        ),
        _late_patch,
    ),
    Rule(
        Check(
            "uwsgi-gevent-unpatched", "error", "gevent without a patch",
            "uWSGI's gevent loop patches nothing by itself: each call of the app to a service or a"
            " database blocks the whole worker.",
            "uWSGI's documentation, The gevent loop engine",
            "Let module name one that patches first (patched.py in flask_app/), or set"
            " gevent-early-monkey-patch = true.",
        ),
        _unpatched,
    ),
    Rule(
        Check(
            "uwsgi-keepalive-gevent", "error", "Kept-alive connections hang under gevent",
            "The second request of a kept-alive connection gets no answer.",
            "measured with uWSGI 2.0.30",
            "Use socket behind nginx's uwsgi_pass, or http-socket, which closes after each answer.",
        ),
        _keep_alive,
    ),
    Rule(
        Check(
            "uwsgi-threads-gevent", "error", "Threads and gevent at once",
            "uWSGI's threads do not work with its gevent loop: workers hang or crash.",
            "uwsgi#858; measured with uWSGI 2.0.31: no request is answered, workers crash",
            "Remove threads, and keep enable-threads = true.",
        ),
        _threads,
    ),
    Rule(
        Check(
            "uwsgi-harakiri-gevent", "warning", "harakiri under gevent",
            "It kills the whole worker with all of its requests, and is unreliable under gevent.",
            "uwsgi#2184, uwsgi#2606",
            "Remove it, and give each wait of the app its own limit: timeouts of HTTP calls,"
            " statement_timeout of the database.",
        ),
        _harakiri,
    ),
    Rule(
        Check(
            "uwsgi-few-async-cores", "warning", "Few async cores",
            "A worker whose cores are all taken spins at 100% CPU, and connections do not spread"
            " evenly over workers.",
            "uwsgi#691",
            "Set gevent = 2000: well above what you expect. Each costs 7 KiB.",
        ),
        _few_cores,
    ),
)  # fmt: skip
