"""uWSGI: how it stops, and how it runs its workers."""

from collections.abc import Iterator

from bench.doctor.configuration.formats.compose import signal_name
from bench.doctor.configuration.model import Facts, Rule, Seen, Server, seen
from bench.doctor.configuration.rules import servers
from bench.doctor.findings import Check

GRACEFUL = (
    "hook-master-start = unix_signal:15 grace_them_all, exit-on-reload = true and"
    " worker-reload-mercy above the longest request"
)


def _signal(server: Server) -> str:
    given = server.supervisor.settings.text("stop-signal") if server.supervisor else ""
    return signal_name(given) if given else "TERM"


def _die_on_term(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("uwsgi"):
        setting = server.settings.on("die-on-term")
        if setting and not servers.on_term(server):
            yield seen("die-on-term ends uWSGI at once on SIGTERM", setting.evidence)


def _term_reloads(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("uwsgi"):
        handled = server.settings.on("die-on-term") or servers.on_term(server)
        if not handled and _signal(server) == "TERM" and server.settings.on("master"):
            yield seen("nothing here says what uWSGI does on SIGTERM", server.evidence)


def _no_master(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("uwsgi"):
        if not server.settings.on("master"):
            yield seen("uWSGI runs without its master", servers.place(server, "master"))


def _no_lazy_apps(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("uwsgi"):
        settings = server.settings
        many = settings.number("threads", default=1) or 2
        several = (servers.workers(server) or 2) > 1
        if several and not settings.on("lazy-apps") and (servers.is_gevent(server) or many > 1):
            yield seen(
                "the app is imported once and then forked into the workers",
                servers.place(server, "lazy-apps"),
            )


def _no_threads(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("uwsgi"):
        threads = server.settings.number("threads", default=0)
        if threads == 0 and not server.settings.on("enable-threads"):
            yield seen("threads are not enabled", servers.place(server, "enable-threads"))


def _small_listen(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("uwsgi"):
        length, place = servers.backlog(server)
        if length is not None and length <= 128:  # noqa: PLR2004 - the kernel's old bound
            yield seen(f"the listen queue holds {length:g} connections", place)


def _no_need_app(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("uwsgi"):
        if not server.settings.on("need-app"):
            yield seen("need-app is not set", servers.place(server, "need-app"))


def _no_strict(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("uwsgi"):
        if not server.settings.on("strict"):
            yield seen("strict is not set", servers.place(server, "strict"))


def _buffer_size(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("uwsgi"):
        size = server.settings.number("buffer-size", default=4096)
        if size is not None and size <= 4096:  # noqa: PLR2004 - the default
            yield seen(
                f"a request's headers may have {size:g} bytes", servers.place(server, "buffer-size")
            )


def _interpreters(facts: Facts) -> Iterator[Seen]:
    for server in facts.of("uwsgi"):
        if not server.settings.on("single-interpreter"):
            yield seen(
                "the app may run in a sub-interpreter", servers.place(server, "single-interpreter")
            )


RULES: tuple[Rule, ...] = (
    Rule(
        Check(
            "uwsgi-term-reloads", "error", "SIGTERM reloads uWSGI instead of stopping it",
            "By default SIGTERM is a reload: a supervisor waits in vain, then kills it with the"
            " requests in flight. The next deploy may find the old one still listening.",
            "uWSGI's documentation, Managing the server; measured: it goes on running",
            f"Set {GRACEFUL}.",
        ),
        _term_reloads,
    ),
    Rule(
        Check(
            "uwsgi-die-on-term", "warning", "die-on-term drops the requests in flight",
            "On SIGTERM the workers end at once: each deploy breaks whatever is under way.",
            "measured with uWSGI 2.0.30: the client's connection is reset",
            f"Instead of it set {GRACEFUL}.",
        ),
        _die_on_term,
    ),
    Rule(
        Check(
            "uwsgi-no-master", "warning", "No master process",
            "Nobody restarts a worker that died, reaps it, or stops all in good order.",
            "uWSGI's documentation, Things to know",
            "Set master = true.",
        ),
        _no_master,
    ),
    Rule(
        Check(
            "uwsgi-no-lazy-apps", "warning", "The app is imported before the fork",
            "Connections, locks, threads and gevent's event loop made by the import are shared by"
            " all workers, or missing in them: two workers then write into one connection.",
            "uWSGI's documentation, Preforking vs lazy-apps; gevent's, Forking",
            "Set lazy-apps = true. It costs memory: each worker imports the app itself.",
        ),
        _no_lazy_apps,
    ),
    Rule(
        Check(
            "uwsgi-no-threads", "warning", "Python's threads stand still",
            "Without enable-threads the interpreter's lock is never set up: threads that the app"
            " starts (exporters, pools, gevent's resolver) do not run.",
            "uWSGI's documentation, Things to know",
            "Set enable-threads = true.",
        ),
        _no_threads,
    ),
    Rule(
        Check(
            "uwsgi-small-listen", "warning", "A short listen queue",
            "A burst beyond it is dropped in the kernel, and those clients wait 1, 3 or 7 s.",
            "uWSGI's default of 100; ip-sysctl.rst",
            "Set listen = 1024 or more, and net.core.somaxconn at least as high: uWSGI does not"
            " start otherwise.",
        ),
        _small_listen,
    ),
    Rule(
        Check(
            "uwsgi-no-need-app", "note", "It starts without an app",
            "An app that does not import leaves a uWSGI that answers every request with a 500.",
            "uWSGI's documentation, Options: need-app",
            "Set need-app = true.",
        ),
        _no_need_app,
    ),
    Rule(
        Check(
            "uwsgi-no-strict", "note", "Misspelt settings go unnoticed",
            "Unknown settings are ignored without a word.",
            "uWSGI's documentation, Options: strict",
            "Set strict = true.",
        ),
        _no_strict,
    ),
    Rule(
        Check(
            "uwsgi-buffer-size", "note", "Little room for headers",
            "A request with larger headers, such as big cookies, is refused.",
            "uWSGI's default of 4096 bytes",
            "Set buffer-size = 16384.",
        ),
        _buffer_size,
    ),
    Rule(
        Check(
            "uwsgi-interpreters", "note", "Sub-interpreters",
            "C extensions expect the first interpreter; in another one some fail or hang.",
            "uWSGI's documentation, Options: single-interpreter",
            "Set single-interpreter = true.",
        ),
        _interpreters,
    ),
)  # fmt: skip
