"""What the app makes of the client's answers; the client's own tests have a real service."""

import ssl

import pytest

import upstream
from http_client import ProtocolError, Response


class Calls:
    """Stands for the client: gives the one answer that it is given."""

    def __init__(self, answer: Exception | int) -> None:
        self.answer = answer
        self.timeouts: list[float] = []

    def get(self, _path: str, *, timeout: float) -> Response:
        self.timeouts.append(timeout)
        if isinstance(self.answer, Exception):
            raise self.answer
        response = Response()
        response.status = self.answer
        response.parts.append(b"body")
        return response


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (ConnectionRefusedError(), upstream.UpstreamDownError),
        (ProtocolError(), upstream.UpstreamDownError),
        (ssl.SSLCertVerificationError(), upstream.UpstreamDownError),
        (OSError("no route to host"), upstream.UpstreamDownError),
        (TimeoutError(), upstream.UpstreamTimeoutError),
        (500, upstream.UpstreamDownError),
        (204, upstream.UpstreamDownError),
        (302, upstream.UpstreamDownError),
    ],
)
def test_failures(
    monkeypatch: pytest.MonkeyPatch, answer: Exception | int, error: type[upstream.UpstreamError]
) -> None:
    calls = Calls(answer)
    monkeypatch.setattr(upstream, "_client", calls)

    with pytest.raises(error):
        upstream.get("/")

    assert calls.timeouts == [upstream.TIMEOUT], "asked more than once"


def test_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(200)
    monkeypatch.setattr(upstream, "_client", calls)

    assert upstream.get("/", timeout=2) == b"body"
    assert calls.timeouts == [2]
