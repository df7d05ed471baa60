"""Scenario files: several requests of an app, and how often each of them comes.

TOML, with a ``[[request]]`` for each; `Line` has the keys. docs/own-app.md shows one.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from bench.errors import UsageError
from bench.model import FromFile, MixedRequest, Request
from bench.request_input import check_path, check_request, headers_of, text_or_file

MOST_REQUESTS = 1000
RAREST = 100_000
"""One in so many requests at least is each of them: the load client deals so many in advance."""


@dataclass(frozen=True)
class Line(FromFile):
    """One ``[[request]]``; what is not said is as on the command line."""

    path: str
    weight: Annotated[float, Field(ge=0.000_001, le=1_000_000)] = 1.0
    method: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    """Text, or ``@file`` with it, as seen from the scenario's folder."""
    expect_status: Annotated[int, Field(ge=100, le=599)] | None = None
    expect_body: str | None = None
    """As `body`."""
    bodies_vary: bool = False
    """Right answers differ, and only their status is checked."""

    def request(self, more: Mapping[str, str]) -> Request:
        """Return what is sent, with more headers where it has none of these."""
        implied = "GET" if self.body is None else "POST"
        method = implied if self.method is None else self.method
        lines = [f"{name}: {value}" for name, value in {**more, **self.headers}.items()]
        return Request(method.upper(), headers_of(lines), self.body)


@dataclass(frozen=True)
class Scenario(FromFile):
    """The whole file."""

    request: Annotated[tuple[Line, ...], Field(min_length=1, max_length=MOST_REQUESTS)]


_SCENARIO = TypeAdapter(Scenario)


def read_scenario(file: Path, headers: Mapping[str, str]) -> tuple[MixedRequest, ...]:
    """Return the requests of a scenario file.

    Args:
        file: TOML, as above.
        headers: sent with every request that does not have these itself.

    Raises:
        UsageError: it cannot be read, or says what cannot be; every problem is named.

    """
    try:
        found = _SCENARIO.validate_python(tomllib.loads(file.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"--scenario: {file} cannot be read: {error}") from error
    except ValidationError as error:
        problems = (f"{_place(e['loc'])}: {e['msg']}" for e in error.errors())
        raise UsageError(
            f"--scenario: {file} has problems:\n  " + "\n  ".join(problems) + f"\n{_allowed()}"
        ) from error
    total = sum(line.weight for line in found.request)
    return tuple(
        _mixed(line, total, headers, file, f"--scenario: {file}: request {number}")
        for number, line in enumerate(found.request, start=1)
    )


def _mixed(
    line: Line, total: float, headers: Mapping[str, str], file: Path, where: str
) -> MixedRequest:
    check_path(line.path, f"{where}: path")
    if total > RAREST * line.weight:
        raise UsageError(
            f"{where}: weight: by {line.weight:g} it is one in {total / line.weight:,.0f} requests;"
            f" the rarest is to be one in {RAREST:,} at least. Raise its weight, or leave it out"
        )
    line = _with_files(line, file.parent, where)
    try:
        request = line.request(headers)
        check_request(request, line.expect_status)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    if line.bodies_vary and line.expect_body is not None:
        raise UsageError(f"{where}: bodies_vary and expect_body: give one of them")
    return MixedRequest(
        path=line.path,
        weight=line.weight,
        request=request,
        status=line.expect_status,
        body=line.expect_body,
        bodies_vary=line.bodies_vary,
    )


def _with_files(line: Line, folder: Path, where: str) -> Line:
    """Return it with the texts of the files that its bodies name."""

    def text(key: str, value: str | None) -> str | None:
        if value is not None and value.startswith("@"):
            value = f"@{folder / Path(value[1:]).expanduser()}"
        return text_or_file(f"{where}: {key}", value)

    return replace(
        line, body=text("body", line.body), expect_body=text("expect_body", line.expect_body)
    )


def _place(parts: tuple[int | str, ...]) -> str:
    """Return where in the file: ``request 2, weight`` of ``("request", 1, "weight")``."""
    match parts:
        case ("request", int(index), *rest):
            return ", ".join((f"request {index + 1}", *map(str, rest)))
        case _:
            return ".".join(map(str, parts))


def _allowed() -> str:
    return f"A [[request]] has: {', '.join(Line.__dataclass_fields__)}"
