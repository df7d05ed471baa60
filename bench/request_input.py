"""What the user gives as a request: paths, methods, headers and bodies, checked at the edge."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

from bench.errors import UsageError
from bench.model import Request

METHOD = re.compile(r"[A-Z]{3,16}")
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A token of RFC 9110."""


def check_path(path: str, named: str) -> None:
    """Refuse what is no path; ``named``: what the user knows it by.

    Raises:
        UsageError: it is none.

    """
    if not path.startswith("/"):
        raise UsageError(f"{named} is {path!r}; it has to begin with a slash, as in /checkout")
    if any(character.isspace() for character in path):
        raise UsageError(f"{named} is {path!r}; write a space in it as %20")
    if not path.isascii():
        raise UsageError(
            f"{named} is {path!r}; write what is not ASCII as clients send it: ü is %C3%BC"
        )
    if not path.isprintable():
        raise UsageError(f"{named} is {path!r}; write a control character as %00 to %1F or %7F")
    if "#" in path:
        raise UsageError(
            f"{named} is {path!r}; clients keep what follows a # to themselves: leave it out, or"
            " write %23 for one that the app is to get"
        )


def check_request(request: Request, expect_status: int | None) -> None:
    """Refuse what no request can be, and a status that load generators take for a failure.

    Raises:
        UsageError: it is such a one.

    """
    if not METHOD.fullmatch(request.method):
        raise UsageError(f"--method: {request.method!r} is none, as GET, POST or DELETE are")
    if request.body is not None and request.method in {"GET", "HEAD"}:
        raise UsageError(f"--body goes with --method POST, PUT, PATCH …, not {request.method}")
    if expect_status is not None and expect_status // 100 != HTTPStatus.OK // 100:
        raise UsageError(
            f"--expect-status: {expect_status} would be taken for a failure: the load generator"
            " only counts what is not 200 to 299, so a wrong answer could not be told from a"
            " right one. Give a request that succeeds"
        )


def headers_of(lines: Sequence[str]) -> dict[str, str]:
    """Return ``Name: value`` lines as a mapping.

    Raises:
        UsageError: a line is none of these.

    """
    found = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not (colon and HEADER_NAME.fullmatch(name)) or {*"\r\n\0"} & {*value}:
            raise UsageError(f"--header: {line!r}: write 'Name: value', as in 'Accept: text/html'")
        if not value.isascii():
            raise UsageError(
                f"--header: the value of {name} is not ASCII, of which every client and server"
                " makes something else: write it as the app decodes it, with ü as %C3%BC"
            )
        found[name] = value.strip()
    return found


def text_or_file(option: str, value: str | None) -> str | None:
    """Return the text itself, or that of the file that ``@file`` names.

    Raises:
        UsageError: there is no such file, or it holds no text.

    """
    if value is None or not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).expanduser().read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{option}: {value[1:]} cannot be read: {error}") from error
