"""Other ways to do things at once: event loops, processes, threads, and the signals of a server."""

import ast
from collections.abc import Iterator

from bench.doctor.facts import CodePlace, Facts, Rule
from bench.doctor.findings import Check, Evidence, Finding

RUNS_A_LOOP = (
    "asyncio.run", "asyncio.Runner", "asyncio.loop().run_until_complete",
    "asyncio.loop().run_forever", "asgiref.sync.async_to_sync",
)  # fmt: skip
MAKES_PROCESSES = (
    "multiprocessing.Pool", "multiprocessing.pool.Pool", "multiprocessing.Queue",
    "multiprocessing.JoinableQueue", "multiprocessing.Manager",
    "concurrent.futures.ProcessPoolExecutor", "concurrent.futures.process.ProcessPoolExecutor",
)  # fmt: skip

ASYNCIO = Check(
    "asyncio-in-request",
    "error",
    "An asyncio loop in a request",
    "asyncio knows one running loop per thread, and under gevent all requests of a worker are one"
    " thread: the second request at once gets a RuntimeError, 'another loop is running'. Flask runs"
    " `async def` views in such a loop, too.",
    "gevent#2026, django/asgiref#443",
    "Wait with greenlets (gevent.spawn, gevent.joinall) instead, run the loop in"
    " gevent.get_hub().threadpool, or serve with threads (sync-gunicorn, sync-uwsgi).",
)
PROCESSES = Check(
    "process-pool",
    "error",
    "A pool of processes under gevent",
    "multiprocessing's queues and pools wait in native pipes and threads: with threads patched they"
    " hang the process.",
    "gevent#936, https://www.gevent.org/api/gevent.monkey.html#gevent.monkey.patch_thread",
    "Use gevent's threadpool, subprocess, or a queue of jobs with workers of its own.",
)
THREAD = Check(
    "thread-at-import",
    "warning",
    "The import starts a thread",
    "Every worker imports the app, so every worker runs it: jobs run several times. With"
    " preload_app it runs in the master only, and in no worker.",
    "apscheduler#160, https://docs.gunicorn.org/en/stable/settings.html#preload-app",
    "Run it as a process of its own, or start it where only one worker does.",
)
CONNECTION = Check(
    "connection-at-import",
    "warning",
    "The import leaves a connection open",
    "The app cannot start while that service is down; and where the master imports the app"
    " (preload_app, no lazy-apps), all workers share one connection and mix up their answers.",
    "https://docs.sqlalchemy.org/en/20/core/pooling.html#using-connection-pools-with-multiprocessing",
    "Connect when it is first needed, or dispose of the pool at the end of the import.",
)
SIGNAL = Check(
    "signal-handler",
    "warning",
    "The import takes a signal that servers use",
    "gunicorn and uWSGI stop, reload and reap with these: a handler of the app's own takes the"
    " place of theirs, and a stop no longer waits for the requests in flight, or never comes.",
    "gunicorn/workers/base.py: init_signals() comes before the app is loaded",
    "Remove it; to clean up use atexit, or the server's own hooks (worker_exit in gunicorn).",
)


def asyncio(facts: Facts) -> Iterator[Finding]:
    """Find loops that run in a request, and async views."""
    for use in facts.sources.calls(*RUNS_A_LOOP):
        if facts.sources.in_request(use):
            message = f"{use.where} runs a loop while it serves a request"
            yield Finding(ASYNCIO, message, (use.evidence,))
    for source in facts.sources:
        for function in source.reader.functions.values():
            if function.is_view and isinstance(function.node, ast.AsyncFunctionDef):
                evidence = source.evidence(function.node.lineno)
                yield Finding(ASYNCIO, f"{function.name} is an async view", (evidence,))


def processes(facts: Facts) -> Iterator[Finding]:
    """Find pools and queues that the import makes, or a request."""
    for use in facts.sources.calls(*MAKES_PROCESSES):
        by_import = use.call.function is None and not use.call.guarded
        if by_import or facts.sources.in_request(use):
            yield Finding(PROCESSES, f"{use.call.name} in {use.where}", (use.evidence,))


def thread(facts: Facts) -> Iterator[Finding]:
    """Find threads of own code, and schedulers, that run after the import."""
    if facts.workers == 1:
        return
    for each in facts.imported.threads:
        message = f"{each.name} runs in each of {facts.workers} workers"
        yield Finding(THREAD, message, (_defined(facts, each.code),))
    for name in facts.imported.schedulers:
        message = f"a {name} of APScheduler runs in each of {facts.workers} workers"
        kind = name.removesuffix("Scheduler").lower()
        makes = f"apscheduler.schedulers.{kind}.{name}"
        made = tuple(use.evidence for use in facts.sources.calls(makes))
        yield Finding(THREAD, message, made or (Evidence(name),))


def connection(facts: Facts) -> Iterator[Finding]:
    """Find streams that are connected after the import, unless another check names them better."""
    if facts.imported.database_connections:
        return
    for each in facts.imported.connections:
        evidence = Evidence(f"descriptor {each.fd}: connected to {each.peer}")
        yield Finding(CONNECTION, f"to {each.peer}", (evidence,))


def signals(facts: Facts) -> Iterator[Finding]:
    """Find handlers that the import has set."""
    for each in facts.imported.changed_signals:
        calls = [use.evidence for use in facts.sources.calls("signal.signal")]
        if each.code is not None:
            calls = [_defined(facts, each.code), *calls]
        if calls:
            yield Finding(SIGNAL, f"{each.signal} is now {each.handler}", (calls[0],))


def _defined(facts: Facts, code: CodePlace) -> Evidence:
    for source in facts.sources:
        if str(source.file) == code.file:
            return source.evidence(code.line)
    return Evidence(code.file, code.file, code.line)


RULES: tuple[Rule, ...] = (
    Rule(ASYNCIO, asyncio),
    Rule(PROCESSES, processes),
    Rule(THREAD, thread, gevent_only=False),
    Rule(CONNECTION, connection, gevent_only=False),
    Rule(SIGNAL, signals, gevent_only=False),
)
