"""TCP ports of this machine: one that is free, or who holds the one that is not."""

import errno
import random
import socket
import threading
from pathlib import Path

import psutil

from bench.errors import TrialError

LOWEST = 20000
"""Below are the ports that people's own services use."""

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_ATTEMPTS = 200

_handed_out: set[int] = set()
_lock = threading.Lock()


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nobody listens on, and that this process has not handed out before.

    It lies outside the kernel's ephemeral range where that leaves room, so that no connection of
    a load generator can take it before the server does. Raises ``TrialError`` if none is free.
    """
    candidates = outside_ephemeral_range()
    for _ in range(_ATTEMPTS):
        # random, so that two runs on one machine are unlikely to try the same one
        port = random.choice(candidates) if candidates else 0  # noqa: S311
        with _lock:
            found = _bind(host, port)
            if found and found not in _handed_out:
                _handed_out.add(found)
                return found
    raise TrialError(f"no free port on {host} after {_ATTEMPTS} attempts: too many servers?")


def outside_ephemeral_range() -> list[int]:
    """Return the ports from ``LOWEST`` on that the kernel never gives to an outgoing connection."""
    try:
        low, high = map(int, _EPHEMERAL.read_text().split())
    except (OSError, ValueError):  # not Linux: the range that IANA sets aside
        low, high = 49152, 65535
    return [*range(LOWEST, low), *range(max(high + 1, LOWEST), 65536)]


def require_free(host: str, port: int) -> None:
    """Raise a ``TrialError`` that names the holder if a server could not listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # as servers do: connections in TIME_WAIT are no obstacle, a listener is
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise TrialError(_explain(host, port, error)) from error


def _bind(host: str, port: int) -> int | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return None
            raise TrialError(_explain(host, port, error)) from error
        bound: int = probe.getsockname()[1]
        return bound


def _explain(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is taken by {_holder(port)}. "
            "Stop that process, or choose another port."
        )
    if error.errno == errno.EACCES:
        return f"port {port} needs root's rights: choose one above 1023."
    return f"cannot listen on {host}:{port}: {error.strerror}. Choose another address."


def _holder(port: int) -> str:
    """Return pid and program of who listens on a port, as far as this user may see it."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        return "another process (which one, only root can see)"
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN
        if listens and connection.pid and connection.laddr and connection.laddr.port == port:
            try:
                command = " ".join(psutil.Process(connection.pid).cmdline())
            except psutil.Error:
                command = "of another user"
            return f"process {connection.pid} ({command[:100]})"
    return "another process (which one, only root can see)"
