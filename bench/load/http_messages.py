"""HTTP as the project's own clients speak it: what is sent, and what comes back."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import httptools

AS_AB_DOES = {"User-Agent": "ApacheBench/2.3", "Accept": "*/*"}
"""What ab sends, and no more: an app may answer by what it is sent, or with it."""
INTERIM = 1
"""First digit of what comes before the response (RFC 9110, 15.2): 100 Continue, 103 Early Hints."""
WITH_A_BODY = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose request says how long its body is, if it has none as well (RFC 9110, 8.6)."""


@dataclass
class Answer:
    """One response as it comes in."""

    head_only: bool = False
    """It answers a HEAD, so that no body follows, whatever the headers say."""
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False
    begun: bool = False
    has_head: bool = False
    has_length: bool = False
    keeps_alive: bool = False

    def __post_init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take in what has come.

        Raises:
            httptools.HttpParserError: it is no HTTP.

        """
        self.begun = True
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            raise httptools.HttpParserError("it changes the protocol") from error

    def ended_by_closing(self) -> bool:
        """Whether a response that has no length is whole because the connection ended."""
        return self.has_head and not self.has_length

    def on_header(self, name: bytes, _value: bytes) -> None:
        """Note whether it will say when it is complete."""
        self.has_length |= name.lower() in {b"content-length", b"transfer-encoding"}

    def on_headers_complete(self) -> None:
        """Note that the headers are there, which may be all."""
        self.has_head = self.parser.get_status_code() // 100 != INTERIM
        self.complete = self.head_only and self.has_head

    def on_body(self, data: bytes) -> None:
        """Keep the body."""
        self.body += data

    def on_message_complete(self) -> None:
        """Note that all of it is there, and whether the connection may be used again."""
        if not self.has_head:
            self.has_length = False
            return
        self.complete = True
        self.keeps_alive = self.parser.should_keep_alive()


def headers_as_ab_does(headers: Mapping[str, str], body: str | None) -> dict[str, str]:
    """Return what ab sends beside the host: its own, and in their place the user's."""
    own = AS_AB_DOES if body is None else {**AS_AB_DOES, "Content-Type": "text/plain"}
    return {**own, **{name.title(): value for name, value in headers.items()}}


def request_message(
    host: str,
    path: str,
    *,
    version: str = "1.1",
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: str | None = None,
    keep_alive: bool = False,
) -> bytes:
    """Return a request as it goes over the wire; ``host`` with its port.

    HTTP/1.0 closes by itself, and says nothing of the connection.
    """
    sent = (body or "").encode()
    given = {"Host": host}
    if version != "1.0":
        given["Connection"] = "keep-alive" if keep_alive else "close"
    if sent or method in WITH_A_BODY:
        given["Content-Length"] = str(len(sent))
    given |= {name.title(): value for name, value in (headers or {}).items()}
    lines = (f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {path} HTTP/{version}\r\n{''.join(lines)}\r\n".encode() + sent
