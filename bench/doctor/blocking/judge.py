"""What the numbers of a probe mean (pure but for the lines of source that are quoted)."""

import linecache
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.doctor.blocking.observed import Block, Observed, Opened, Place
from bench.doctor.findings import Check, Evidence, Finding

OFTEN = 2
"""Blocks at one place that are no accident, …"""
LONG = 0.5
"""… and seconds of one that is none either: a busy machine holds nobody up for that long."""
COMPUTES = 0.5
"""The part of a block in CPU time from which on it is computing and not waiting."""
PER_REQUEST = 0.8
"""So many of something per request are one per request: some may be shared or late."""
SERIAL = 0.7
"""The part of N times one from which on N at once were served one after the other."""
SLOW_ENOUGH = 0.02
"""Seconds; below, a request is all server, which is serial anyway."""

COMPUTING = Check(
    "loop-computes", "warning", "Computing blocks the event loop",
    "While one greenlet computes, no other request of the worker is read, served or answered.",
    "measured in your app; gevent's documentation, Monitoring and debugging",
    "Cache it, or hand it to a process or a queue; threads of the native pool help only where the"
    " library lets go of the interpreter's lock. Otherwise more workers: greenlets gain nothing.",
)  # fmt: skip
WAITING = Check(
    "loop-waits", "error", "A wait that gevent does not see",
    "It waits outside of Python's sockets (C library, file, lock of the system), and with it every"
    " other request of the worker.",
    "measured in your app; gevent's documentation, Monitoring and debugging",
    "Use a client that gevent can patch (psycopg2: psycogreen), or call it by"
    " gevent.get_hub().threadpool.apply(). Or serve by threads: gthread, uwsgi.ini.",
)  # fmt: skip
NO_ANSWER = Check(
    "probe-no-answer", "warning", "No answer in time",
    "Nothing is known of what comes after.",
    "measured in your app",
    "Look at the app's own log, and at whether all services that it needs are reachable.",
)  # fmt: skip
SERIALISED = Check(
    "serialised", "warning", "Requests are served one after the other",
    "So many at once take about as many times as long as one: greenlets gain nothing here.",
    "measured in your app",
    "{remedy}",
)  # fmt: skip
STATUS = Check(
    "probe-status", "warning", "The probed URL does not answer with success",
    "An error page or a redirect does not do the work that is to be probed.",
    "measured in your app",
    "Give a URL that answers 200 without a login, and --env-file with what the app needs.",
)  # fmt: skip
THREADS = Check(
    "thread-per-request", "warning", "Native threads pile up",
    "Each costs memory and, in the end, the limit of the container.",
    "measured in your app",
    "Keep the pool that makes them for the life of the process.",
)  # fmt: skip
PROCESSES = Check(
    "process-per-request", "warning", "A process per request",
    "A fork costs milliseconds and copies what the worker holds: connections, locks, the loop.",
    "measured in your app",
    "Call a library instead, or hand the work to a queue.",
)  # fmt: skip
FILES = Check(
    "files-left-open", "error", "Descriptors are left open",
    "After enough requests the worker can open nothing more and accepts no connection.",
    "measured in your app",
    "Close it in a with block, or keep one for the life of the process.",
)  # fmt: skip
DATABASE = Check(
    "database-connection-per-request", "warning", "A database connection per request",
    "Connecting costs more than most queries, and as many requests at once want as many"
    " connections: Postgres has 100.",
    "measured in your app",
    "Keep a pool: flask_app/database.py, SQLAlchemy's QueuePool, psycopg_pool.",
)  # fmt: skip
CONNECTIONS = Check(
    "outgoing-connection-per-request", "warning", "A new connection for each call",
    "A call over a connection of its own costs two to four times the CPU, a look-up of the name,"
    " and a local port for 60 s.",
    "measured in your app; docs/performance.md",
    "Keep connections: one requests.Session, urllib3.PoolManager, or flask_app/http_client.py.",
)  # fmt: skip

CHECKS: tuple[Check, ...] = (
    STATUS, NO_ANSWER, WAITING, COMPUTING, SERIALISED, FILES, DATABASE, CONNECTIONS, THREADS,
    PROCESSES,
)  # fmt: skip
"""All that is looked for."""

Judge = Callable[[Observed, Path], Iterator[Finding]]


def judge(observed: Observed, folder: Path) -> tuple[Finding, ...]:
    """Return what was found, in the order of `CHECKS`."""
    found = [finding for each in JUDGES for finding in each(observed, folder)]
    return tuple(sorted(found, key=lambda finding: CHECKS.index(finding.check)))


def judge_silence(
    url_path: str, reason: str, stuck: Block | None, folder: Path
) -> tuple[Finding, ...]:
    """Return what is known when a request was not answered."""
    silent = Finding(NO_ANSWER, reason, (Evidence(f"GET {url_path}"),))
    if stuck is None:
        return (silent,)
    where = _shown(stuck.place)
    message = f"{where}has blocked the loop for {stuck.seconds:.1f} s and still does"
    return silent, Finding(_kind(stuck), message, (_evidence(stuck.place, folder, url_path),))


def _status(observed: Observed, _folder: Path) -> Iterator[Finding]:
    answers = (*observed.alone, *observed.together)
    for (status, location), count in Counter((a.status, a.location) for a in answers).items():
        if not 200 <= status < 300:  # noqa: PLR2004
            to = f" to {location}" if location else ""
            yield Finding(
                STATUS,
                f"{count} of {len(answers)} answers had status {status}{to}: the rest of this probe"
                " says little",
                (Evidence(f"GET {observed.url_path} → {status}{to}"),),
            )


def _blocks(observed: Observed, folder: Path) -> Iterator[Finding]:
    for blocks in _by_function(observed.after.blocks):
        longest = max(block.seconds for block in blocks)
        if len(blocks) < OFTEN and longest < LONG:
            continue
        ((place, _),) = Counter(block.place for block in blocks).most_common(1)
        cpu = sum(block.cpu for block in blocks) / sum(block.seconds for block in blocks)
        yield Finding(
            _kind(*blocks),
            f"{_shown(place)}blocked the loop {_times(len(blocks))}, for up to {longest:.2f} s"
            f" ({min(cpu, 1):.0%} of it computing)",
            (_evidence(place, folder, observed.url_path),),
        )


def _by_function(blocks: Sequence[Block]) -> list[list[Block]]:
    """Put those of one function together; a loop in it is seen now at this line and now at that."""
    found: dict[tuple[str, str] | None, list[Block]] = defaultdict(list)
    for block in blocks:
        found[(block.place[0], block.place[2]) if block.place else None].append(block)
    if len(found) > 1:
        found.pop(None, None)  # some of the others, at a moment that nobody could see
    return list(found.values())


def _serialised(observed: Observed, _folder: Path) -> Iterator[Finding]:
    count = len(observed.together)
    ratio = observed.together_seconds / (count * observed.one)
    if observed.one < SLOW_ENOUGH or ratio < SERIAL:
        return
    queued = observed.after.queued - observed.after_alone.queued
    ran = max(observed.together_seconds - queued, observed.together_seconds / 100)
    cpu = (observed.after.cpu - observed.after_alone.cpu) / ran
    if cpu >= COMPUTES:
        remedy = "It computes: workers, one per core, serve more at once, and greenlets do not."
    else:
        remedy = (
            "Find what they wait for in turn: a call that blocks the loop, a lock, a pool of one"
            " connection."
        )
    yield Finding(
        SERIALISED,
        f"one request takes {observed.one:.2f} s, and {count} at once take"
        f" {observed.together_seconds:.2f} s ({min(cpu, 1):.0%} of it computing)",
        (Evidence(f"GET {observed.url_path}"),),
        {"remedy": remedy},
    )


def _threads(observed: Observed, _folder: Path) -> Iterator[Finding]:
    grown = observed.after_alone.threads - observed.before.threads
    if _per_request(grown, observed):
        yield Finding(
            THREADS,
            f"{len(observed.alone)} requests have left {grown} threads behind",
            (Evidence(f"GET {observed.url_path}"),),
        )


def _files(observed: Observed, _folder: Path) -> Iterator[Finding]:
    before, after = observed.before.files, observed.after_alone.files
    grown = {what: count - before.get(what, 0) for what, count in after.items()}
    if not _per_request(sum(grown.values()), observed):
        return
    most = sorted(((count, what) for what, count in grown.items() if count > 0), reverse=True)
    yield Finding(
        FILES,
        f"{len(observed.alone)} requests have left {sum(grown.values())} descriptors open",
        tuple(Evidence(f"{count} × {what}") for count, what in most[:3]),
    )


def _opened(observed: Observed, folder: Path) -> Iterator[Finding]:
    checks = {"database": DATABASE, "connection": CONNECTIONS, "process": PROCESSES}
    names = {
        "database": "database connections",
        "connection": "connections",
        "process": "processes",
    }
    requests = len(observed.alone)
    by_kind: dict[str, list[Opened]] = defaultdict(list)
    for opened in observed.after_alone.opened:
        by_kind[opened.kind].append(opened)
    for kind, each in by_kind.items():
        count = sum(opened.count for opened in each)
        if _per_request(count, observed):
            what = ", ".join(sorted({opened.what for opened in each})[:3])
            yield Finding(
                checks[kind],
                f"{requests} requests have opened {count} {names[kind]} ({what})",
                _places(each, folder, observed.url_path),
            )


def _kind(*blocks: Block) -> Check:
    cpu = sum(block.cpu for block in blocks)
    return COMPUTING if cpu >= COMPUTES * sum(block.seconds for block in blocks) else WAITING


def _per_request(count: int, observed: Observed) -> bool:
    return count >= PER_REQUEST * len(observed.alone)


def _places(opened: Sequence[Opened], folder: Path, url_path: str) -> tuple[Evidence, ...]:
    by_count = sorted(opened, key=lambda each: each.count, reverse=True)
    places = dict.fromkeys(each.place for each in by_count)
    return tuple(_evidence(place, folder, url_path) for place in [*places][:3])


def _evidence(place: Place | None, folder: Path, url_path: str) -> Evidence:
    if place is None:
        return Evidence(f"GET {url_path}")
    file, line, function = place
    source = linecache.getline(str(folder / file), line).strip()
    return Evidence(source or f"in {function}", str(folder / file), line)


def _shown(place: Place | None) -> str:
    return "something " if place is None else f"{place[2]}() at {place[0]}:{place[1]} "


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


JUDGES: tuple[Judge, ...] = (_status, _blocks, _serialised, _threads, _files, _opened)
