"""A deployment that is up already, wherever the user may put load: nothing is started here."""

import ipaddress
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self
from urllib.parse import SplitResult, urlsplit

from bench.errors import TrialError, UsageError
from bench.model import Deployment, Running, Target, Workload
from bench.runners import RunnerOptions
from bench.verify import readiness

CONSENT = "--yes-i-may-load-this-host"


class ExternalRunner:
    """Yields the same target for every trial."""

    versions: Mapping[str, str] = MappingProxyType({})

    def __init__(self, options: RunnerOptions) -> None:
        self._target = target_of(options.url or "", consent=options.may_load_this_host)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader would otherwise take for granted."""
        return (
            f"{self._target.url} was up already: it was not restarted between trials, and what it"
            " used (CPU, memory, queues) was not sampled, so that the verdicts know only what the"
            " client saw. The machine described is the one that the load came from.",
        )

    def left_out(self, _deployments: Sequence[Deployment]) -> Mapping[str, str]:
        """Leave none out."""
        return {}

    @contextmanager
    def up(self, _deployment: Deployment, workload: Workload, _folder: Path) -> Iterator[Running]:
        """Look whether it answers rightly, before and after.

        Raises:
            TrialError: it does not.

        """
        if why_not := readiness(self._target, workload):
            raise TrialError(f"no right answer from {why_not}")

        def check() -> None:
            if why_not := readiness(self._target, workload):
                raise TrialError(f"after the load, no right answer from {why_not}")

        yield Running(self._target, {}, {}, check)


def target_of(url: str, *, consent: bool) -> Target:
    """Return where a URL leads.

    Args:
        url: scheme, host and port: ``http://127.0.0.1:8000``.
        consent: the user may put load on a host that is not this one.

    Raises:
        UsageError: it is no such URL, its host is unknown, or it is another one without consent.

    """
    try:
        parts = urlsplit(url)
        problem = _problem(parts)
    except ValueError as error:
        problem = str(error)
    if problem:
        raise UsageError(f"URL is {url!r}: {problem}")
    host = parts.hostname or ""
    port = parts.port or 80
    if not consent and not _is_this_machine(host, port):
        raise UsageError(
            f"{host} is not this machine. If its owner agrees to the load: flask-bench run"
            f" --runner external --url {url} {CONSENT}"
        )
    return Target(host, port)


def _problem(parts: SplitResult) -> str | None:
    if parts.scheme == "https":
        return (
            "ab does not count responses over TLS rightly where a server ends connections as most"
            " do, without a close_notify: measure what is behind the TLS, over http"
        )
    if parts.scheme != "http" or not parts.hostname:
        return "it has to be like http://127.0.0.1:8000"
    if parts.username or parts.password:
        return "a user and a password are not supported"
    if parts.path.strip("/") or parts.query or parts.fragment:
        return "only scheme, host and port; the path is given as URL_PATH=/checkout"
    try:
        port = parts.port
    except ValueError as error:
        return str(error)
    return "port 0 is none" if port == 0 else None


def _is_this_machine(host: str, port: int) -> bool:
    """Say whether every address of the host is a loopback one."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"the host {host} of the URL is not known: {why}") from error
    return all(ipaddress.ip_address(address[4][0]).is_loopback for address in found)
