"""The engine that all tests here use: `tests.compose.engine` starts it, and makes the images."""

import pytest

from bench.errors import BenchError
from bench.services.docker import Docker, find_docker


@pytest.fixture(scope="session")
def docker() -> Docker:
    try:
        return find_docker({})
    except BenchError as error:
        pytest.exit(f"NOTHING WAS TESTED. {error}\n`make test-compose` starts one where it may.", 2)
