"""The limit on open files: a client needs one per connection."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from bench.errors import UsageError

RESERVE = 16
"""Files beside the connections: the three standard streams, the poll set, the rows, libraries."""


def check_open_files(concurrency: int, lingering: int = 0) -> None:
    """Raise UsageError if so many connections exceed what this process may allow its children.

    ``lingering``: connections beside those of the requests under way.
    """
    needed = concurrency + lingering + RESERVE
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and needed > hard:
        most = hard - lingering - RESERVE
        lower = f"choose CONCURRENCY={most} at most, or " if most > 0 else ""
        raise UsageError(
            f"CONCURRENCY={concurrency} needs {needed} open files, and the hard limit"
            f" (RLIMIT_NOFILE, `ulimit -Hn`) is {hard}: {lower}raise it with"
            f" `ulimit -n {needed}` as root in the shell that starts this, or for good with"
            " `nofile` in /etc/security/limits.conf"
        )


@contextmanager
def room_for(concurrency: int) -> Iterator[None]:
    """Raise this process's soft limit, as far as the hard one allows, for children started within.

    Changed here and put back, because doing it in the child needs code between fork and exec,
    which is not safe once threads run.
    """
    needed = concurrency + RESERVE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        yield
        return
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    # macOS refuses more than its own OPEN_MAX; the load generator's error then says so.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
