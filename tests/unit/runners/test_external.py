"""Which URLs may be loaded, and which need somebody's word."""

import pytest

from bench.errors import UsageError
from bench.model import Target
from bench.runners.external import target_of


@pytest.mark.parametrize(
    ("url", "host", "port", "base"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1", 8000, "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/", "127.0.0.1", 8000, "http://127.0.0.1:8000"),
        ("http://localhost", "localhost", 80, "http://localhost:80"),
        ("http://[::1]:81", "::1", 81, "http://[::1]:81"),
    ],
)
def test_this_machine_needs_no_word(url: str, host: str, port: int, base: str) -> None:
    target = target_of(url, consent=False)
    assert (target.host, target.port, target.url) == (host, port, base)
    assert not target.roles


def test_another_machine_needs_one() -> None:
    with pytest.raises(UsageError, match="--yes-i-may-load-this-host"):
        target_of("http://192.0.2.1:8000", consent=False)
    assert target_of("http://192.0.2.1", consent=True) == Target("192.0.2.1", 80)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "like http://127.0.0.1:8000"),
        ("127.0.0.1:8000", "like http://127.0.0.1:8000"),
        ("ftp://127.0.0.1", "like http://127.0.0.1:8000"),
        ("https://127.0.0.1", "over http"),
        ("http://", "like http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/checkout", "URL_PATH=/checkout"),
        ("http://127.0.0.1:8000?a=1", "URL_PATH=/checkout"),
        ("http://me:secret@127.0.0.1", "not supported"),
        ("http://127.0.0.1:99999", "[Pp]ort"),
        ("http://127.0.0.1:0", "port 0"),
        ("http://no.such.host.invalid", "not known"),
        ("http://foo..bar:8000", "not known"),
        ("http://[::1:8000", "IPv6"),
    ],
)
def test_no_such_url(url: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        target_of(url, consent=False)
