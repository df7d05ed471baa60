"""One engine for all tests here, with the images that the compose files name."""

import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest

from bench.errors import BenchError
from bench.services.docker import Docker
from tests.compose.engine import engine, provide_images, why_not

NO_ENGINE = 2
"""Exit status of a call that can test nothing, as flask-bench's own for what is missing."""


@pytest.fixture(scope="session")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    if reason := why_not():
        pytest.exit(f"NOTHING WAS TESTED. {reason}", returncode=NO_ENGINE)
    with engine(tmp_path_factory.mktemp("engine") / "dockerd.log") as found:
        made = provide_images(found)
        versions = f"engine {found.engine_version}, Compose {found.compose_version}"
        sys.stderr.write(f"\n{versions}; stand-ins: {', '.join(made) or 'none'}\n")
        yield found
        # under official names they must not be taken for official ones
        for image in made:
            with suppress(BenchError):
                found.call("rmi", image)
