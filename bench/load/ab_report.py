"""The report that ab prints at its end, with every figure in it.

Written against the print statements of ``support/ab.c`` in Apache 2.0, 2.2 and 2.4: lines come
and go between versions, and most are left out when their count is zero.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Final

from bench.errors import TrialError

# No number in a report has more digits; longer ones are not ab's, and int() refuses the longest.
_INTEGER = r"(-?[0-9]{1,18})"
_DECIMAL = r"(-?[0-9]{1,18}(?:\.[0-9]{1,9})?)"


@dataclass(frozen=True)
class Times:
    """One row of ab's table of connection times, in milliseconds as printed."""

    min: float
    mean: float
    max: float
    sd: float | None = None
    """``None`` with ``ab -S``, as the median."""
    median: float | None = None


@dataclass(frozen=True)
class AbReport:
    """Every figure of one report, under ab's own names and in ab's own units.

    ``None``: the line is not there. Counts that ab leaves out when they are zero are 0.
    """

    concurrency_level: int
    time_taken: float
    """Seconds."""
    complete_requests: int
    """Requests that ended, failed ones included."""
    failed_requests: int
    """Failures of all kinds but non-2xx: one request can be counted several times."""
    total_transferred: int
    """Bytes received, headers included."""
    html_transferred: int
    """Bytes of bodies received."""
    server_software: str | None = None
    server_hostname: str | None = None
    server_port: int | None = None
    ssl_tls_protocol: str | None = None
    server_temp_key: str | None = None
    tls_server_name: str | None = None
    document_path: str | None = None
    document_length: int | None = None
    """Bytes of the first body; ``None``: declared variable by ``-l``."""
    failed_connect: int = 0
    failed_receive: int = 0
    """Versions without this count ended at the first such error."""
    failed_length: int = 0
    failed_exceptions: int = 0
    write_errors: int = 0
    send_timeouts: int = 0
    """Lines "Send request timed out!" before the report."""
    non_2xx_responses: int = 0
    keep_alive_requests: int | None = None
    total_body_sent: int | None = None
    """Bytes; "Total POSTed" or "Total PUT" in older versions."""
    requests_per_second: float | None = None
    time_per_request_ms: float | None = None
    time_per_request_across_all_ms: float | None = None
    received_kbytes_per_second: float | None = None
    sent_kbytes_per_second: float | None = None
    total_kbytes_per_second: float | None = None
    connect_ms: Times | None = None
    processing_ms: Times | None = None
    waiting_ms: Times | None = None
    total_ms: Times | None = None
    percentiles_ms: dict[int, int] = field(default_factory=dict)
    """Percent → milliseconds; empty if fewer than two requests ended."""

    def details(self) -> dict[str, float | str | None]:
        """Return all figures flat, the tables as ``connect_mean_ms`` and ``percentile_50_ms``."""
        flat: dict[str, float | str | None] = {}
        for name in (each.name for each in fields(self)):
            value = getattr(self, name)
            if isinstance(value, Times):
                row = name.removesuffix("_ms")
                flat |= {
                    f"{row}_{each.name}_ms": getattr(value, each.name) for each in fields(value)
                }
            elif isinstance(value, dict):
                flat |= {f"percentile_{percent}_ms": time for percent, time in value.items()}
            else:
                flat[name] = value
        return flat


_TEXTS: Final = {
    "server_software": "Server Software",
    "server_hostname": "Server Hostname",
    "ssl_tls_protocol": "SSL/TLS Protocol",
    "server_temp_key": "Server Temp Key",
    "tls_server_name": "TLS Server Name",
    "document_path": "Document Path",
}
_COUNTS: Final = {
    "concurrency_level": "Concurrency Level:",
    "complete_requests": "Complete requests:",
    "failed_requests": "Failed requests:",
    "total_transferred": "Total transferred:",
    "html_transferred": "HTML transferred:",
    "server_port": "Server Port:",
    "document_length": "Document Length:",
    "write_errors": "Write errors:",
    "non_2xx_responses": "Non-2xx responses:",
    "keep_alive_requests": "Keep-Alive requests:",
    "total_body_sent": "Total (?:body sent|POSTed|PUT):",
}
_FIGURES: Final = {
    "time_taken": rf"Time taken for tests:[ \t]*{_DECIMAL} seconds",
    "requests_per_second": rf"Requests per second:[ \t]*{_DECIMAL}",
    "time_per_request_ms": rf"Time per request:[ \t]*{_DECIMAL} \[ms\] \(mean\)",
    "time_per_request_across_all_ms": (
        rf"Time per request:[ \t]*{_DECIMAL} \[ms\] \(mean, across all concurrent requests\)"
    ),
    "received_kbytes_per_second": rf"Transfer rate:[ \t]*{_DECIMAL} .*received",
    "sent_kbytes_per_second": rf"{_DECIMAL} kb/s sent",
    "total_kbytes_per_second": rf"{_DECIMAL} kb/s total",
}
_REQUIRED: Final = (
    "concurrency_level",
    "time_taken",
    "complete_requests",
    "failed_requests",
    "total_transferred",
    "html_transferred",
)
_FAILURES = re.compile(r"^[ \t]*\((Connect: .*)\)", re.MULTILINE)
_FAILURE = re.compile(rf"(Connect|Receive|Length|Exceptions): {_INTEGER}")
_TIMES = re.compile(r"^[ \t]*(Connect|Processing|Waiting|Total):([-0-9. \t]+)$", re.MULTILINE)
# Columns of that table: min, mean, sd, median, max; with `-S` only min, mean, max.
_WITH_DEVIATION = 5
_WITHOUT_DEVIATION = 3
_PERCENTILE = re.compile(rf"^[ \t]*([0-9]{{1,3}})%[ \t]+{_INTEGER}", re.MULTILINE)


def parse(text: str) -> AbReport:
    """Read the report in ab's standard output; TrialError with the text's head if it has none."""
    figures: dict[str, object] = {}
    figures |= _named(
        text, {name: rf"{label}[ \t]*{_INTEGER}" for name, label in _COUNTS.items()}, int
    )
    figures |= _named(text, _FIGURES, float)
    if missing := [name for name in _REQUIRED if name not in figures]:
        head = text.strip()[:400] or "(empty)"
        raise TrialError(
            f"no complete report of ab: no {', '.join(missing)} in its output:\n{head}"
        )
    figures |= _named(
        text, {name: rf"{label}:[ \t]*(\S[^\n]*)" for name, label in _TEXTS.items()}, str.strip
    )
    figures |= _failures(text)
    figures |= _times(text)
    figures["send_timeouts"] = text.count("Send request timed out!")
    figures["percentiles_ms"] = {
        int(percent): int(time) for percent, time in _PERCENTILE.findall(text)
    }
    # Every key is a field's name, and every value was converted to that field's type above.
    return AbReport(**figures)  # type: ignore[arg-type]


def _named(
    text: str, patterns: Mapping[str, str], convert: Callable[[str], object]
) -> dict[str, object]:
    """Field → value of each pattern that begins a line, converted; the first such line counts."""
    found = (
        (name, re.search(rf"^[ \t]*{pattern}", text, re.MULTILINE))
        for name, pattern in patterns.items()
    )
    return {name: convert(match[1]) for name, match in found if match}


def _failures(text: str) -> dict[str, object]:
    line = _FAILURES.search(text)
    kinds = _FAILURE.findall(line[1]) if line else []
    return {f"failed_{kind.lower()}": int(count) for kind, count in kinds}


def _times(text: str) -> dict[str, object]:
    rows: dict[str, object] = {}
    for name, figures in _TIMES.findall(text):
        try:
            numbers = [float(figure) for figure in figures.split()]
        except ValueError:
            continue
        if len(numbers) == _WITH_DEVIATION:
            low, mean, sd, median, high = numbers
            rows[f"{name.lower()}_ms"] = Times(low, mean, high, sd, median)
        elif len(numbers) == _WITHOUT_DEVIATION:
            rows[f"{name.lower()}_ms"] = Times(*numbers)
    return rows
