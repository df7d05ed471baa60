"""Remove all that a Compose project has in the engine: containers, networks, volumes.

By the project's label and not by ``compose down``, which needs the file, the settings and a second
of its own. Also a program (``python -m … DOCKER PROJECT``): what the guardian runs for a harness
that was killed.
"""

import sys
import time
from collections.abc import Callable

from bench.services.docker import PROJECT_LABEL, CommandFailedError, Docker

KINDS = (
    ("container", ("ls", "--all", "--quiet"), ("rm", "--force", "--volumes")),
    ("network", ("ls", "--quiet"), ("rm",)),
    ("volume", ("ls", "--quiet"), ("rm", "--force")),
)
"""In this order: a network or a volume in use cannot be removed."""

ATTEMPTS = 20
PAUSE = 0.25
"""Seconds between two attempts."""
LOOKS_IF_CUT_SHORT = 4
"""What a call had asked for that was ended half-way may appear a moment after it."""


def remove_project(
    docker: Docker,
    project: str,
    *,
    looks: int = 1,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Remove a project; return what could not be removed, as ``kind id``.

    Args:
        docker: the engine.
        project: its name, as in the label.
        looks: so many times in a row there has to be nothing of it.
        sleep: for tests.

    Raises:
        CommandFailedError: the engine no longer answers.

    """
    clean = 0
    for attempt in range(ATTEMPTS):
        if attempt:
            sleep(PAUSE)
        clean = clean + 1 if not _remove_once(docker, project) else 0
        if clean >= looks:
            return []
    return _remove_once(docker, project)


def _remove_once(docker: Docker, project: str) -> list[str]:
    """Remove what there is; return what was still there to be removed."""
    found = []
    for kind, listing, removal in KINDS:
        shown = docker.call(kind, *listing, "--filter", f"label={PROJECT_LABEL}={project}")
        if ids := shown.split():
            try:
                docker.call(kind, *removal, *ids)
            except CommandFailedError:  # somebody else is at it, or it is still in use
                found += [f"{kind} {each}" for each in ids]
    return found


def main() -> None:
    """Remove the project that the command line names."""
    program, project = sys.argv[1:]
    remove_project(Docker(program, (), "", ""), project, looks=LOOKS_IF_CUT_SHORT)


if __name__ == "__main__":
    main()
