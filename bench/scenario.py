"""Scenario files: several requests of an app, and how often each of them comes.

TOML, with a ``[[request]]`` for each; `Line` has the keys. docs/own-app.md shows one.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from bench.errors import UsageError
from bench.model import FromFile, MixedRequest, Request
from bench.plan import check_path, check_request, headers_of

MOST_REQUESTS = 1000


@dataclass(frozen=True)
class Line(FromFile):
    """One ``[[request]]``; what is not said is as on the command line."""

    path: str
    weight: Annotated[float, Field(gt=0, le=1_000_000)] = 1.0
    method: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    expect_status: Annotated[int, Field(ge=100, le=599)] | None = None
    expect_body: str | None = None
    bodies_vary: bool = False
    """Right answers differ, and only their status is checked."""

    def request(self, more: Mapping[str, str]) -> Request:
        """Return what is sent, with more headers where it has none of these."""
        method = self.method or ("GET" if self.body is None else "POST")
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
    return tuple(
        _mixed(line, headers, f"--scenario: {file}: request {number}")
        for number, line in enumerate(found.request, start=1)
    )


def _mixed(line: Line, headers: Mapping[str, str], where: str) -> MixedRequest:
    check_path(line.path, f"{where}: path")
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


def _place(parts: tuple[int | str, ...]) -> str:
    """Return where in the file: ``request 2, weight`` of ``("request", 1, "weight")``."""
    match parts:
        case ("request", int(index), *rest):
            return ", ".join((f"request {index + 1}", *map(str, rest)))
        case _:
            return ".".join(map(str, parts))


def _allowed() -> str:
    return f"A [[request]] has: {', '.join(Line.__dataclass_fields__)}"
