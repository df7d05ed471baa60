"""The project's own load generator, for what ab cannot do: several requests in one load.

It is asyncio and httptools in a process of its own (`bench/load/builtin_client.py`), on one core,
and sends about a third of what ab can: 5,900 and 16,400 requests per second where
docs/performance.md was measured. The verdict says when that was the limit.
"""

import json
import math
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.errors import TrialError, UsageError
from bench.load.builtin_client import LINGERING, Orders
from bench.load.builtin_rows import FAILURES, Seen, read
from bench.load.child import Guardian, run_child
from bench.load.latency import late_connects, latency_from_counts
from bench.load.open_files import check_open_files, room_for
from bench.load.progress import LoadProgress
from bench.model import Ask, Load, Measurement, RequestMeasurement

CHECKOUT = Path(__file__).resolve().parents[2]
MAX_CONCURRENCY = 20_000
"""Each client is a coroutine and a connection; above, the client is what is measured."""
MAX_REQUESTS = 5_000_000
"""Each takes 30 bytes while the load runs, and 40 on the disk."""
LOOK_UP_WITHIN = 5.0
"""Seconds."""
GRACE = 10.0
"""Seconds beyond all time-outs to start, and to end …"""
WRITTEN_PER_SECOND = 50_000
"""… and rows that are written in a second at least; seen were 380,000."""
SENT_PER_SECOND = 50_000
"""More than it can send: how many rows a duration can make."""
MICROSECOND = 1


class Builtin:
    """The load generator ``builtin``: a closed loop, a new connection for each request."""

    lone_requests = 0
    several_requests = True

    @property
    def version(self) -> str:
        """Its name, and the version of what parses its responses."""
        return f"builtin (httptools {version('httptools')})"

    def check(self, load: Load) -> None:
        """Raise UsageError if it cannot do this load."""
        if not 1 <= load.concurrency <= MAX_CONCURRENCY:
            raise UsageError(
                f"CONCURRENCY={load.concurrency}: the built-in client takes 1 to {MAX_CONCURRENCY}"
            )
        if load.requests is not None and not load.concurrency <= load.requests <= MAX_REQUESTS:
            raise UsageError(
                f"REQUESTS={load.requests}: the built-in client takes as many as CONCURRENCY"
                f" ({load.concurrency}) to {MAX_REQUESTS}"
            )
        # Written so that NaN, which is neither less nor equal, is refused too.
        if load.requests is None and not 0 < (load.duration or 0) <= 24 * 3600:
            raise UsageError(f"DURATION={load.duration}: seconds, up to a day")
        check_open_files(load.concurrency, LINGERING)

    def run(
        self,
        asks: Sequence[Ask],
        load: Load,
        *,
        folder: Path,
        timeout: float,
        deadline: float | None = None,
        progress: Callable[[float], None] | None = None,
        guardian: Guardian | None = None,
    ) -> Measurement:
        """Send the load and return what came back; builtin.tsv and builtin.err stay in ``folder``.

        ``timeout``: seconds for each response. ``deadline``: seconds for the whole load, by
        default what it takes if no response takes longer than the time-out.
        Raises TrialError if the client fails or hangs.
        """
        self.check(load)
        orders = _orders(asks, load, folder, timeout)
        file = folder / "builtin.json"
        errors = folder / "builtin.err"
        command = (sys.executable, "-P", "-m", "bench.load.builtin_client", str(file))
        report_progress = LoadProgress(load, errors, progress)
        try:
            file.touch(0o600)
            file.write_text(json.dumps(asdict(orders)), "utf-8")
            with room_for(load.concurrency + LINGERING):
                ended = run_child(
                    command,
                    stdout=folder / "builtin.txt",
                    stderr=errors,
                    deadline=longest(load, timeout) if deadline is None else deadline,
                    environment={**os.environ, "PYTHONPATH": str(CHECKOUT)},
                    tick=report_progress,
                    guardian=guardian,
                )
        finally:
            # It has the headers, secrets included; the client may not have come to remove it.
            file.unlink(missing_ok=True)
        if ended.code != 0 or not Path(orders.result).exists():
            said = errors.read_text("utf-8", "replace").splitlines()[-5:]
            raise TrialError(
                f"the built-in client ended with exit code {ended.code}:\n  " + "\n  ".join(said)
            )
        report_progress.done()
        return _measurement(self.version, asks, load, orders)


def longest(load: Load, timeout: float) -> float:
    """Return the seconds that a load can take if no response takes longer than ``timeout``."""
    if load.duration is not None:
        rows = min(load.duration * SENT_PER_SECOND, MAX_REQUESTS)
        return load.duration + timeout + GRACE + rows / WRITTEN_PER_SECOND
    requests = load.requests or 1
    waits = -(-requests // load.concurrency) * timeout
    return waits + GRACE + requests / WRITTEN_PER_SECOND


def _orders(asks: Sequence[Ask], load: Load, folder: Path, timeout: float) -> Orders:
    target = urlsplit(asks[0].url)
    return Orders(
        authority=target.netloc.removesuffix(":80"),  # as ab, browsers and the verification do
        host=_address(target.hostname or "", target.port or 80),
        port=target.port or 80,
        asks=[asdict(replace(ask, url=_path(ask.url))) for ask in asks],
        concurrency=load.concurrency,
        requests=load.requests,
        duration=load.duration,
        most=MAX_REQUESTS,
        timeout=timeout,
        rows=str(folder / "builtin.tsv"),
        result=str(folder / "builtin_seen.json"),
    )


def _address(host: str, port: int) -> str:
    """Return the address that answers by this name; the name itself, if none does."""
    try:
        with socket.create_connection((host, port), timeout=LOOK_UP_WITHIN) as probe:
            return str(probe.getpeername()[0])
    except OSError:
        return host


def _path(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"


def _measurement(generator: str, asks: Sequence[Ask], load: Load, orders: Orders) -> Measurement:
    said = json.loads(Path(orders.result).read_text("utf-8"))
    each = read(Path(orders.rows), len(asks), math.inf if load.duration is None else load.duration)
    fates = sum((seen.fates for seen in each), Counter())
    times = sum((seen.times for seen in each), Counter())
    requests = fates.total()
    return Measurement(
        generator=generator,
        command=("python", "-m", "bench.load.builtin_client"),
        requests=requests,
        failures={
            **{fate: fates[fate] for fate in FAILURES},
            "missing": max(0, (load.requests or 0) - requests),
        },
        seconds=said["seconds"],
        requests_per_second=_rate(load, requests, said["seconds"], sum(s.in_time for s in each)),
        latency=latency_from_counts(times, MICROSECOND),
        bytes_received=said["bytes"],
        body_bytes=said["body_bytes"],
        client_cpu_seconds=said["cpu_seconds"],
        details=_details(each, said, orders),
        mix=tuple(
            RequestMeasurement(
                requests=seen.fates.total(),
                failed=seen.failed,
                latency=latency_from_counts(seen.times, MICROSECOND),
            )
            for seen in each
        )
        if len(asks) > 1
        else (),
    )


def _rate(load: Load, requests: int, seconds: float, in_time: int) -> float:
    """Return the requests per second of all, or what a duration shows if that is more.

    A few slow requests end long after the duration: the time in which they alone are under way
    says nothing of the rate. Where requests come in waves, on the other hand, the last one ends
    just after the duration, which alone would show one wave less.
    """
    of_all = requests / seconds if seconds else 0.0
    return of_all if load.duration is None else max(of_all, in_time / load.duration)


def _details(
    each: Sequence[Seen], said: Mapping[str, Any], orders: Orders
) -> dict[str, int | float | str | None]:
    found: dict[str, int | float | str | None] = {
        **late_connects(sum((seen.connects for seen in each), Counter()))
    }
    if reason := said["first_connect_error"]:
        found["first_connect_error"] = reason
    requests = sum(seen.fates.total() for seen in each)
    if orders.duration is not None and requests >= orders.most:
        found["stopped_at_requests"] = requests
    return found
