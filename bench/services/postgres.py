"""A throwaway Postgres of one's own, or the one that the user names by ``DATABASE_URL``."""

import ctypes
import os
import pwd
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psycopg2

from bench.errors import BenchError, TrialError
from bench.processes.ports import free_port
from bench.processes.process import ServerProcess
from bench.processes.ready import wait_until_ready
from bench.services import postgres_files
from bench.services.database_url import (
    ask,
    mask_password,
    reason,
    require_encoded,
    why_not_ready,
)
from bench.services.surroundings import RunningService, Surroundings, base_environment

__all__ = ["DEADLINE", "external_postgres", "mask_password", "postgres"]

DEADLINE = 20.0
"""Seconds until it has to answer, and as many for initdb before; both take about 0.6 s."""

RESERVED = 3
"""Connections that Postgres keeps for superusers, on top of those asked for."""

_HOST = "127.0.0.1"

_AVAILABLE = """
    SELECT current_setting('max_connections')::int
         - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true), '0')::int
"""

_SETTINGS = (
    "fsync=off",  # its data lives as long as the trial
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum=off",  # nothing is written: it would only wake up in the middle of a load
    "unix_socket_directories=",
    "dynamic_shared_memory_type=mmap",  # files in the data folder: removed with it
    f"superuser_reserved_connections={RESERVED}",
)


@contextmanager
def postgres(surroundings: Surroundings, *, max_connections: int) -> Iterator[RunningService]:
    """Run a fresh Postgres for ``max_connections`` clients, and hand out its ``DATABASE_URL``.

    It listens on 127.0.0.1 with a password made for it, so that nobody else on the machine gets in.
    """
    user = postgres_files.account()
    source = postgres_files.installation()
    parent = postgres_files.temporary_parent(user)
    password = secrets.token_urlsafe(24)
    port = free_port(_HOST)
    address = f"{_HOST}:{port}"
    url = f"postgresql://postgres:{password}@{address}/postgres"
    with surroundings.guardian.temporary_directory(parent) as folder:
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        bin_folder = postgres_files.runnable(source, user, folder) / "bin"
        data = folder / "data"
        _initialise(surroundings, bin_folder, folder, password, user)
        settings = (*_SETTINGS, f"max_connections={max_connections + RESERVED}")
        options = [word for setting in settings for word in ("-c", setting)]
        process = _process(
            "postgres",
            [f"{bin_folder}/postgres", "-D", str(data), "-h", _HOST, "-p", str(port), *options],
            surroundings,
            cwd=folder,
            user=user,
        )
        with _without_shared_memory_left(data), process:
            ready = partial(why_not_ready, url)
            wait_until_ready(ready, [process], deadline=DEADLINE, what="Postgres")
            yield RunningService(
                name="postgres",
                pid=process.pid,
                address=address,
                check=process.check_running,
                environment={"DATABASE_URL": url},
                max_connections=max_connections,
            )


@contextmanager
def external_postgres(url: str) -> Iterator[RunningService]:
    """Use the user's own Postgres; it is checked here, and neither started nor stopped.

    Raises ``BenchError`` if it does not answer, with the password masked.
    """
    require_encoded(url)
    try:
        available = ask(url, _AVAILABLE)
    except psycopg2.Error as error:
        raise BenchError(
            f"DATABASE_URL={mask_password(url)} does not answer: {reason(error, url)}. "
            "Correct it, start that server, or unset DATABASE_URL to have one started here."
        ) from None  # the original may quote the URL

    def check() -> None:
        try:
            ask(url, "SELECT 1")
        except psycopg2.Error as error:
            shown = f"{mask_password(url)}: {reason(error, url)}"
            raise TrialError(f"the database no longer answers: {shown}") from None

    yield RunningService(
        name="postgres",
        pid=None,
        address=mask_password(url).rpartition("@")[2].partition("/")[0],
        check=check,
        environment={"DATABASE_URL": url},
        max_connections=available,
    )


def _initialise(
    surroundings: Surroundings, bin_folder: Path, folder: Path, password: str, user: str | None
) -> None:
    """Make the data folder."""
    secret = folder / "password"
    secret.touch(mode=0o600)
    secret.write_text(password)
    if user:
        os.chown(secret, pwd.getpwnam(user).pw_uid, -1)
    command = [
        *(f"{bin_folder}/initdb", "-D", f"{folder}/data", "-U", "postgres"),
        *("--no-sync", "--no-instructions", "--encoding=UTF8", "--no-locale", "--wal-segsize=1"),
        *("--auth=scram-sha-256", f"--pwfile={secret}"),
        # many rounds protect weak passwords; ours is strong, and a pool connects often
        *("-c", "scram_iterations=1"),
    ]
    with _process("initdb", command, surroundings, cwd=folder, user=user) as initdb:
        status = initdb.wait(DEADLINE)
        if status != 0:
            how = "did not end in time" if status is None else f"failed with status {status}"
            raise TrialError(f"initdb {how}; {initdb.describe_log()}")


def _process(
    name: str, command: list[str], surroundings: Surroundings, *, cwd: Path, user: str | None
) -> ServerProcess:
    return ServerProcess(
        name,
        command,
        environment=base_environment(),
        cwd=cwd,
        log=surroundings.folder / "postgres.log",
        guardian=surroundings.guardian,
        stop_signal=signal.SIGINT,  # "fast": ends sessions; TERM would wait for clients to leave
        grace=5.0,
        user=user,
    )


@contextmanager
def _without_shared_memory_left(data: Path) -> Iterator[None]:
    """Remove the System V segment that a killed postmaster leaves until the next boot."""
    try:
        yield
    finally:
        # a postmaster that ended in good order has removed this file, and the segment before
        with suppress(OSError, ValueError, IndexError):
            identifier = int((data / "postmaster.pid").read_text().splitlines()[6].split()[1])
            ctypes.CDLL(None).shmctl(identifier, 0, None)  # 0 is IPC_RMID
