"""ApacheBench: how it is started, watched and believed.

What it does that matters here, read in ``support/ab.c`` (2.2.15 to 2.4.65) and seen on 2.4.71:

- Since 2.4.33 it opens its other connections only when the first response's header is there.
- With ``-r`` one reset is counted up to three times: received, length, exception.
- A connection that is closed without an answer is *complete* and, if the first one was too, not
  even failed: only the bytes tell.
- ``-s`` limits the time in which nothing at all happens, not the time of one response.
- After the time of ``-t`` it waits for the next event before it stops.
- A connection for which no request is left is opened all the same, and kept open to the end.
"""

import math
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from bench.errors import MissingToolError, TrialError, UsageError
from bench.load.ab_report import AbReport, parse
from bench.load.ab_rows import latency_from_rows, slow_connects
from bench.load.child import Guardian, run_child
from bench.load.latency import SLOW_CONNECT
from bench.load.open_files import check_open_files, room_for
from bench.load.progress import LoadProgress
from bench.model import Ask, Latency, Load, Measurement, Request

__all__ = ["Ab", "AbReport", "parse"]

INSTALL = {
    "apt-get": "sudo apt-get install apache2-utils",
    "dnf": "sudo dnf install httpd-tools",
    "apk": "sudo apk add apache2-utils",
    "brew": "brew install httpd  (macOS itself ships it as /usr/sbin/ab)",
}
"""Package manager → the line that installs ab."""

MAX_CONCURRENCY = 20_000
"""MAX_CONCURRENCY of ``support/ab.c`` up to 2.4.62 at least; 200,000 in 2.4.65."""

MAX_REQUESTS = 2**31 - 1
"""ab reads the number with atoi() into an int."""

REQUESTS_PER_SECOND_LIMIT = 50_000
"""More than one ab can send in a second: with a duration, it must not run out of requests."""

MAX_PREALLOCATED = 10_000_000
"""Requests for which ab reserves memory under a duration: 32 bytes each, so 320 MB at most."""

GRACE = 10.0
"""Seconds beyond all time-outs for ab to sort its figures and write half a million rows."""

_HINTS = {
    "Connection refused": "nothing listens there: the server has ended, or never started",
    "Too many open files": "raise the limit on open files (`ulimit -n`) or lower CONCURRENCY",
    "timeout specified has expired": "no connection answered within the time-out",
    "Cannot assign requested address": "no free local ports are left: wait 60 s, or send fewer",
    "Test aborted after 10 failures": "it could not connect ten times",
}

SHORTEST_TIME = 0.0005
"""Seconds; whatever took less ab prints as 0.000, by which nothing can be divided."""
BODY_FILE = "ab.body"
"""Holds what ab sends as the body of a request, beside its rows."""


class Ab:
    """The load generator ``ab``: one thread, HTTP/1.0, a new connection for each request."""

    lone_requests = 1
    several_requests = False

    def __init__(self, executable: str = "ab") -> None:
        self.executable = executable

    def require(self) -> str:
        """Return the path of ab; MissingToolError with the line that installs it."""
        if path := shutil.which(self.executable):
            return path
        lines = [line for manager, line in INSTALL.items() if shutil.which(manager)]
        remedy = "\n  ".join(lines or INSTALL.values())
        raise MissingToolError(f"{self.executable} is not installed. Install it:\n  {remedy}")

    @cached_property
    def version(self) -> str:
        """``ab 2.3 r1923142``: 2.3 since 2008, and the source's revision where the build has it."""
        match = re.search(r"Version (\S+)(?:.*?Revision: ([\d.]+))?", self._ask("-V"))
        if match is None:
            return "ab (unknown version)"
        number, revision = match.groups()
        return f"ab {number} r{revision}" if revision else f"ab {number}"

    @cached_property
    def max_concurrency(self) -> int:
        """The most that this build takes: asked of it, because it has changed within 2.4."""
        too_many = str(MAX_REQUESTS)
        answer = self._ask("-n", too_many, "-c", too_many, "http://127.0.0.1:9/")
        match = re.search(r"Invalid Concurrency \[Range 0\.\.(\d{1,10})\]", answer)
        return int(match[1]) if match else MAX_CONCURRENCY

    def check(self, load: Load) -> None:
        """Raise MissingToolError if ab is not installed, UsageError if it cannot do this load."""
        self.require()
        check_load(load)
        if load.concurrency > MAX_CONCURRENCY and load.concurrency > self.max_concurrency:
            raise UsageError(
                f"CONCURRENCY={load.concurrency}: this ab takes at most {self.max_concurrency}"
            )
        check_open_files(load.concurrency)

    def command(self, ask: Ask, load: Load, *, timeout: float, rows_file: Path) -> tuple[str, ...]:
        """Return the command line; ``timeout`` in seconds, UsageError if the URL has no path.

        A body of the request is read from a file `BODY_FILE` beside ``rows_file``.
        """
        if not urlsplit(ask.url).path:
            raise UsageError(f"ab needs a path in the URL: {ask.url}/")
        shape = ["-n", str(_requests(load)), "-c", str(load.concurrency)]
        if load.duration is not None:
            # -t sets -n to 50,000, unless -n comes after it.
            shape = ["-t", str(math.ceil(load.duration)), *shape]
        waits = str(max(1, math.ceil(timeout)))
        sent = _sent(ask.request, rows_file.with_name(BODY_FILE))
        lengths = ("-l",) if ask.bodies_vary else ()
        # -r, so that a reset is counted and does not end the run.
        return (
            *(self.executable, "-r", *shape, "-s", waits, *lengths, *sent),
            *("-g", str(rows_file), ask.url),
        )

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
        environment: Mapping[str, str] | None = None,
    ) -> Measurement:
        """Send the load and return what ab saw; ab.txt, ab.err and ab.tsv stay in ``folder``.

        ``timeout``: seconds of silence after which ab gives up. ``deadline``: seconds for the
        whole load, by default what it takes if no response takes longer than the time-out.
        The recorded command names files as seen from ``folder``, and no secrets.
        Raises TrialError, with ab's own words, if it fails, hangs or prints no report.
        """
        self.check(load)
        (ask,) = asks
        output, errors, rows = (folder / f"ab.{kind}" for kind in ("txt", "err", "tsv"))
        if ask.request.body is not None:
            rows.with_name(BODY_FILE).write_text(ask.request.body, "utf-8")
        command = self.command(ask, load, timeout=timeout, rows_file=rows)
        limit = longest(load, timeout) if deadline is None else deadline
        report_progress = LoadProgress(load, errors, progress)
        with room_for(load.concurrency):
            ended = run_child(
                command,
                stdout=output,
                stderr=errors,
                deadline=limit,
                environment=os.environ if environment is None else environment,
                tick=report_progress,
                guardian=guardian,
            )
        if ended.code != 0:
            raise TrialError(_failure(ended.code, _read(errors), _read(output)))
        report = parse(_read(output))
        report_progress.done()
        return measurement(
            report,
            load,
            generator=self.version,
            command=self.command(
                replace(ask, request=ask.request.without_secrets()),
                load,
                timeout=timeout,
                rows_file=Path(rows.name),
            ),
            latency=latency_from_rows(rows),
            cpu_seconds=ended.cpu_seconds,
            connects=_late(report, rows),
        )

    def _ask(self, *arguments: str) -> str:
        command = [self.require(), *arguments]
        try:
            asked = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=10, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MissingToolError(f"{command[0]} does not run: {error}") from error
        return asked.stdout + asked.stderr


def _sent(request: Request, body: Path) -> list[str]:
    """Return ab's options for what it sends instead of a plain GET."""
    headers = {name.title(): value for name, value in request.headers.items()}
    options: list[str] = []
    if request.body is not None:
        # -p makes it a POST with a body; -m, after it, another method with that body
        options = ["-p", str(body), "-T", headers.pop("Content-Type", "text/plain")]
    if request.method == "HEAD":
        options = ["-i"]  # it would wait for the body that a HEAD with -m does not have
    elif request.method != ("GET" if request.body is None else "POST"):
        options += ["-m", request.method]
    return options + [part for pair in headers.items() for part in ("-H", ": ".join(pair))]


def check_load(load: Load) -> None:
    """Raise UsageError if no ab can do this load, whatever the machine."""
    if load.concurrency < 1:
        raise UsageError(f"CONCURRENCY={load.concurrency}: at least 1 is needed")
    if load.requests is not None:
        if load.requests < 1:
            raise UsageError(f"REQUESTS={load.requests}: at least 1 is needed")
        if load.requests > MAX_REQUESTS:
            raise UsageError(f"REQUESTS={load.requests}: ab counts to {MAX_REQUESTS}")
        if load.requests < load.concurrency:
            raise UsageError(
                f"REQUESTS={load.requests} is less than CONCURRENCY={load.concurrency}, which ab"
                " refuses: raise the first or lower the second"
            )
    # Written so that NaN, which is neither less nor equal, is refused too.
    elif load.duration is None or not 1 <= load.duration <= MAX_REQUESTS:
        raise UsageError(f"DURATION={load.duration}: at least 1 second is needed")
    elif load.duration != int(load.duration):
        raise UsageError(f"DURATION={load.duration:g}: ab takes whole seconds")


def longest(load: Load, timeout: float) -> float:
    """Seconds that a load can take if no response takes longer than ``timeout`` seconds."""
    if load.duration is not None:
        return load.duration + timeout + GRACE
    each = math.ceil(_requests(load) / load.concurrency)
    return (1 + each) * timeout + GRACE


def measurement(
    report: AbReport,
    load: Load,
    *,
    generator: str,
    command: tuple[str, ...],
    latency: Latency | None,
    cpu_seconds: float | None,
    connects: Mapping[str, int] | None = None,
) -> Measurement:
    """Return what the report says in the words of the harness.

    ``latency``: from the rows; ``None`` falls back on the report's percentiles. ``connects``: what
    `slow_connects` counted.
    """
    failures = _failures(report, load)
    # One request can be in several kinds, so only the largest of them is sure to have been bad.
    answered = report.complete_requests > max(failures.values())
    complete = report.complete_requests
    body = report.document_length
    return Measurement(
        generator=generator,
        command=command,
        requests=complete,
        failures=failures,
        seconds=_seconds(report),
        requests_per_second=_rate(report),
        latency=(latency or _latency(report)) if answered else None,
        bytes_received=report.total_transferred,
        body_bytes=body if body is not None else report.html_transferred // max(1, complete),
        client_cpu_seconds=cpu_seconds,
        details={**report.details(), **(connects or {})},
    )


def _requests(load: Load) -> int:
    if load.requests is not None:
        return load.requests
    most = math.ceil((load.duration or 0) * REQUESTS_PER_SECOND_LIMIT)
    return max(load.concurrency, min(most, MAX_PREALLOCATED))


def _failures(report: AbReport, load: Load) -> dict[str, int]:
    kinds = {
        "connect": report.failed_connect,
        "receive": report.failed_receive,
        "length": report.failed_length,
        "exceptions": report.failed_exceptions,
    }
    complete = report.complete_requests
    return kinds | {
        "other": max(0, report.failed_requests - sum(kinds.values())),
        "non_2xx": report.non_2xx_responses,
        "write": report.write_errors + report.send_timeouts,
        "empty": complete if report.total_transferred == 0 else 0,
        "missing": max(0, load.requests - complete) if load.requests is not None else 0,
    }


def _late(report: AbReport, rows: Path) -> dict[str, int]:
    # The table tells at once whether there is anything to find in half a million rows.
    slowest = report.connect_ms.max / 1000 if report.connect_ms else 0.0
    return slow_connects(rows) if slowest >= SLOW_CONNECT else {}


def _seconds(report: AbReport) -> float:
    """Return how long it took, at the most."""
    return report.time_taken or SHORTEST_TIME


def _rate(report: AbReport) -> float:
    printed = report.requests_per_second
    # ab prints two decimals of the rate and three of the time: take the one with more digits.
    few = printed is None or (printed < 100 and report.time_taken >= 1)  # noqa: PLR2004
    if few and report.time_taken > 0:
        return report.complete_requests / report.time_taken
    return printed or 0.0


def _latency(report: AbReport) -> Latency | None:
    times = report.percentiles_ms
    if not {50, 90, 99, 100} <= times.keys():
        return None
    p50, p90, p99, slowest = (times[percent] / 1000 for percent in (50, 90, 99, 100))
    return Latency(p50=p50, p90=p90, p99=p99, max=slowest)


def _failure(code: int, errors: str, output: str) -> str:
    """Return ab's own last words, and what they mean where that is known."""
    # A refused option prints its reason and then two screens of usage.
    words = errors.partition("Usage:")[0].splitlines() + output.splitlines()[-1:]
    told = [
        line
        for line in words
        if line.strip() and not line.startswith(("Completed ", "Benchmarking ", "Finished "))
    ]
    lines = "\n  ".join(told[-5:]) or "(it printed nothing)"
    hints = "".join(f"\n{hint}" for said, hint in _HINTS.items() if said in errors)
    return f"ab ended with exit code {code}:\n  {lines}{hints}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise TrialError(f"cannot read what ab printed: {error}") from error
