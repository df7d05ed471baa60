"""The client by itself: what it repeats, and what it makes of a failure."""

from typing import Any

import pytest
import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)

import upstream

POOL: Any = urllib3.HTTPConnectionPool("127.0.0.1", 9)
REFUSED = NewConnectionError(POOL, "refused")
STALE = ProtocolError("Connection aborted.")
SILENT = ReadTimeoutError(POOL, "/", "read timed out")


class Calls:
    """Stands for the pool: answers with what it is given, in order."""

    def __init__(self, *answers: HTTPError | int) -> None:
        self.answers = list(answers)
        self.options: dict[str, Any] = {}

    def urlopen(self, *_: str, **options: object) -> urllib3.HTTPResponse:
        self.options = options
        answer = self.answers.pop(0)
        if isinstance(answer, HTTPError):
            raise answer
        return urllib3.HTTPResponse(b"body", status=answer)


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([REFUSED], upstream.UpstreamDownError),
        ([STALE, STALE], upstream.UpstreamDownError),
        ([STALE, REFUSED], upstream.UpstreamDownError),
        ([STALE, SILENT], upstream.UpstreamTimeoutError),
        ([SILENT], upstream.UpstreamTimeoutError),
        ([ConnectTimeoutError()], upstream.UpstreamTimeoutError),
        ([HTTPError()], upstream.UpstreamDownError),
        ([500], upstream.UpstreamDownError),
        ([204], upstream.UpstreamDownError),
        ([302], upstream.UpstreamDownError),
    ],
)
def test_failures(
    monkeypatch: pytest.MonkeyPatch,
    answers: list[HTTPError | int],
    error: type[upstream.UpstreamError],
) -> None:
    calls = Calls(*answers)
    monkeypatch.setattr(upstream, "_pool", calls)

    with pytest.raises(error):
        upstream.get("/")

    assert not calls.answers, "a call less than expected"


def test_a_stale_connection_costs_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(STALE, 200)
    monkeypatch.setattr(upstream, "_pool", calls)

    assert upstream.get("/", timeout=2) == b"body"
    assert (calls.options["redirect"], calls.options["retries"]) == (False, False)
    assert (calls.options["timeout"].connect_timeout, calls.options["timeout"]._read) == (2, 2)
