"""A small blocking HTTP client, for readiness: one request, one answer."""

import http.client
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True)
class Answer:
    """Status and body of one response."""

    status: int
    body: bytes


def get(host: str, port: int, path: str, *, timeout: float = 2.0) -> Answer:
    """Fetch one path on a connection of its own; ``timeout`` in seconds, for each step.

    Raises ``OSError`` or ``http.client.HTTPException`` when there is no whole answer.
    """
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        return Answer(response.status, response.read())
    finally:
        connection.close()


def probe(
    host: str, port: int, path: str, *, accept: Callable[[Answer], bool] | None = None
) -> Callable[[], str | None]:
    """Return a probe for ``wait_until_ready``: content with a 200, or what ``accept`` takes."""

    def ask() -> str | None:
        try:
            answer = get(host, port, path)
        except (OSError, http.client.HTTPException) as error:
            return f"no answer from {host}:{port}{path}: {error or type(error).__name__}"
        if accept(answer) if accept else answer.status == HTTPStatus.OK:
            return None
        return f"{host}:{port}{path} answered {answer.status}"

    return ask
