"""Every compose file by itself: built, up, right, without rights, and gone without a loss."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.catalog import load_catalog
from bench.services.docker import Docker
from tests.compose.project import Project, project, wait_for

NAMES = tuple(d.name for d in load_catalog().deployments.values() if d.group is None)
GRACEFUL = [
    name for name in NAMES if not name.startswith("devserver") and not name.endswith("blocking")
]
AT_ONCE = 40
"""Requests in service when it is told to stop."""


@pytest.fixture(params=NAMES, scope="module")
def up(request: pytest.FixtureRequest, docker: Docker) -> Iterator[Project]:
    with project(docker, request.param) as found:
        found.up()
        yield found


class TestUp:
    def test_it_answers(self, up: Project) -> None:
        assert up.get("/hello") == "hello\n"
        assert up.get("/?delay=0.01") == "answered by the API\n"
        assert up.get("/db?delay=0.01") == "answered by the API and the database\n"
        assert up.get("/readyz") == "ready\n"

    def test_it_has_the_containers_of_the_catalog(self, up: Project) -> None:
        proxy = load_catalog().deployment(up.deployment).proxy
        expected = {"app", "api", "database"} | ({"nginx"} if proxy else set())
        assert {each.service for each in up.containers()} == expected

    def test_no_process_is_root(self, up: Project) -> None:
        for service, users in up.users().items():
            assert 0 not in users, service

    def test_only_the_front_is_published_and_only_here(self, up: Project) -> None:
        ids = up.docker.containers(up.name)
        published = [line for i in ids for line in up.docker.call("port", i).splitlines()]
        assert published == [f"8000/tcp -> 127.0.0.1:{up.port}"]

    def test_it_may_not_write_to_its_image(self, up: Project) -> None:
        app = up.container("app")
        told = up.docker.call("inspect", "-f", "{{.HostConfig.ReadonlyRootfs}}", app.id)
        assert told.strip() == "true"

    def test_what_is_built_is_not_built_again(self, up: Project) -> None:
        before = {each.service: each.id for each in up.containers()}
        up.up()
        assert {each.service: each.id for each in up.containers()} == before


@pytest.mark.parametrize("name", GRACEFUL)
def test_stop_under_load_loses_nothing(docker: Docker, name: str, tmp_path: Path) -> None:
    ab = shutil.which("ab")
    assert ab
    with project(docker, name) as found:
        found.up()
        # ab sends its first request alone: AT_ONCE are under way after it
        count = str(AT_ONCE + 1)
        command = [ab, "-n", count, "-c", str(AT_ONCE), f"{found.url}/?delay=3"]
        with (tmp_path / "ab.txt").open("w+") as report:
            load = subprocess.Popen(command, stdout=report, stderr=subprocess.STDOUT)
            try:
                wait_for(lambda: found.calls_under_way() >= AT_ONCE, f"{AT_ONCE} in service")
                found.compose("stop")
                load.wait(60)
            finally:
                load.kill()
                load.wait()
        said = (tmp_path / "ab.txt").read_text()
        assert re.search(rf"Complete requests: +{count}\n", said), said
        assert re.search(r"Failed requests: +0\n", said), said
        assert "Non-2xx" not in said
        codes = {each.service: each.exit_code for each in found.containers()}
        assert codes["app"] == 0
        assert codes.get("nginx", 0) == 0


def test_the_dev_server_ends_at_once(docker: Docker) -> None:
    with project(docker, "devserver-threaded") as found:
        found.up()
        app = found.container("app")
        # far below the grace after which the engine kills, whose status is 137
        found.compose("stop", "--timeout", "30")
        assert found.container("app").exit_code == 0
        assert found.container("app").id == app.id
