"""What is ejected for an app that is not the demo: built, up, right, without rights, and gone."""

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bench.eject.prepare import EjectRequest, carry_out, prepare
from bench.own_app.app import own_app
from bench.services.docker import Docker
from tests.compose.engine import IMAGES
from tests.compose.project import Project, wait_for

SHOP = """
import socket
import time

from flask import Flask


def create_app():
    app = Flask(__name__)

    @app.get("/healthz")
    def healthz():
        return "well"

    @app.get("/state")
    def state():
        return "patched" if socket.socket.__module__.startswith("gevent") else "not patched"

    @app.get("/slow")
    def slow():
        open("/tmp/slow", "w").close()
        time.sleep(3)
        return "slow"

    return app
"""


@dataclass
class Ejected(Project):
    """A folder that was ejected, under the name of its image."""

    target: Path = field(default_factory=Path)

    @property
    def file(self) -> Path:
        return self.target / "compose.yml"

    def build(self) -> None:
        """Build it as the head of its Dockerfile says."""
        command = next(
            line
            for line in (self.target / "Dockerfile").read_text().splitlines()
            if "build" in line
        ).partition("docker ")[2]
        words = command.partition("     ")[0].split()
        ended = subprocess.run(
            [self.docker.program, *words],
            cwd=self.target.parent,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]

    def in_flight(self) -> bool:
        container = self.container("app").id
        return "slow" in self.docker.call("exec", container, "ls", "/tmp")  # noqa: S108


@contextmanager
def ejected(docker: Docker, name: str, home: Path, target: Path) -> Iterator[Ejected]:
    image = f"flask-bench-test-{os.getpid()}-{name}"
    app = own_app("shop:create_app()", folder=home)
    request = EjectRequest(
        name, app, "flask-bench eject", to=target, name=image, image=IMAGES["python"], workers=1
    )
    carry_out(prepare(request))
    found = Ejected(docker, name, target=target)
    try:
        found.build()
        yield found
    finally:
        found.compose("down", "--volumes", "--timeout", "1")
        docker.call("rmi", "--force", image)
    assert not found.left()


@pytest.mark.parametrize(
    ("name", "where"), [("nginx-uwsgi", "home/deploy"), ("gevent-gunicorn", "deploy")]
)
def test_it_is_built_and_serves_and_loses_nothing(
    docker: Docker, tmp_path: Path, name: str, where: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "shop.py").write_text(SHOP)
    (home / "requirements.txt").write_text("flask==3.1.3\n")
    with ejected(docker, name, home, tmp_path / where) as found:
        found.up()
        assert found.get("/state") == "patched"
        for service, users in found.users().items():
            assert 0 not in users, service
        with ThreadPoolExecutor() as pool:
            slow = pool.submit(found.get, "/slow")
            wait_for(found.in_flight, "a request in flight")
            found.compose("stop")
            assert slow.result() == "slow"
        assert {each.exit_code for each in found.containers()} == {0}
