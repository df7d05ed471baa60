"""What the user asked of a run, and the workload that this means."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from bench.catalog import load_catalog
from bench.errors import UsageError
from bench.model import MASK, SECRET_HEADERS, Request, Workload
from bench.plan import with_delay, with_own_path, with_request, with_scenario
from bench.request_input import headers_of, text_or_file
from bench.scenario import read_scenario
from bench.services.postgres import mask_password


@dataclass(frozen=True)
class RunRequest:
    """What the user asked for; ``None``: nothing in particular."""

    deployments: tuple[str, ...]
    """By name; none means all that suit the workload."""
    workload: str
    requests: int | None
    duration: float | None
    concurrency: int | None
    delay: float | None
    rounds: int
    seed: int | None
    workers: int | None
    threads: int | None
    async_cores: int | None
    backlog: int | None
    runner: str
    generator: str | None
    app: str | None
    app_dir: Path | None
    python: Path | None
    env_file: Path | None
    scenario: Path | None
    url_path: str | None
    method: str | None
    headers: tuple[str, ...]
    """``Name: value`` lines."""
    body: str | None
    """Text, or ``@file`` with it."""
    expect_status: int | None
    expect_body: str | None
    """Text, or ``@file`` with it."""
    port: int | None
    database_url: str | None
    url: str | None
    may_load_this_host: bool
    results: Path
    command: tuple[str, ...]
    """The call itself, for the record."""


def workload_of(request: RunRequest) -> Workload:
    """Return the workload that was asked for, with the user's delay or path."""
    workload = load_catalog().workload(request.workload)
    own = request.app is not None or request.app_dir is not None
    if request.scenario is not None:
        check_scenario_alone(request)
        workload = with_scenario(
            workload, read_scenario(request.scenario, headers_of(request.headers))
        )
    elif request.url_path is not None or request.app is not None:
        workload = with_own_path(workload, request.url_path or "/")
    if request.delay is not None:
        workload = with_delay(workload, request.delay)
    if own:  # it calls what it calls: the slow API belongs to the demo
        workload = replace(workload, uses=tuple(s for s in workload.uses if s != "api"))
    return workload if workload.mix else requested(workload, request)


def check_scenario_alone(request: RunRequest) -> None:
    """Refuse what a scenario says for each of its requests.

    Raises:
        UsageError: it is given beside it.

    """
    beside = ("url_path", "method", "body", "expect_status", "expect_body", "delay")
    given = [name for name in beside if getattr(request, name) is not None]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(f"{options}: a scenario says that of each request; leave it out")


class OwnRequest(Protocol):
    """What the user may say of the request itself; ``None``: nothing in particular."""

    @property
    def method(self) -> str | None:
        """GET, POST or another."""

    @property
    def headers(self) -> tuple[str, ...]:
        """``Name: value`` lines."""

    @property
    def body(self) -> str | None:
        """Text, or ``@file`` with it."""

    @property
    def expect_status(self) -> int | None:
        """The one right status."""

    @property
    def expect_body(self) -> str | None:
        """Text, or ``@file`` with it."""


def requested(workload: Workload, own: OwnRequest) -> Workload:
    """Return the workload with what is sent, and what is right, as the user wants it.

    Raises:
        UsageError: no request can be like that.

    """
    body = text_or_file("--body", own.body)
    method = own.method or ("GET" if body is None else "POST")
    return with_request(
        workload,
        Request(method.upper(), headers_of(own.headers), body),
        expect_status=own.expect_status,
        expect_body=text_or_file("--expect-body", own.expect_body),
    )


def without_secrets(command: Sequence[str]) -> tuple[str, ...]:
    """Return the call with the passwords and the secret headers in it masked."""
    header = re.compile(
        rf"((?:--header=)?({'|'.join(SECRET_HEADERS)})\s*:).*", re.IGNORECASE | re.DOTALL
    )
    return tuple(header.sub(rf"\1 {MASK}", mask_password(part)) for part in command)
