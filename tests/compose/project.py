"""One compose file, used as its README says, under a project name of its own."""

import http.client
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import psutil

from bench.processes.ports import free_port
from bench.services.docker import PROJECT_LABEL, Container, Docker

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 120.0
ESTABLISHED = "01"


def wait_for(condition: Callable[[], object], what: str) -> None:
    until = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < until, f"{what}: not within {DEADLINE:g} s"
        time.sleep(0.05)


@dataclass
class Project:
    """A deployment's containers."""

    docker: Docker
    deployment: str
    port: int = field(default_factory=free_port)

    @property
    def name(self) -> str:
        return f"flask-bench-test-{os.getpid()}-{self.deployment}"

    @property
    def file(self) -> Path:
        return ROOT / "compose" / f"{self.deployment}.yml"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def compose(self, *words: str, **settings: str) -> str:
        command = [*self.docker.compose, "-f", str(self.file), "-p", self.name, *words]
        environment = {**os.environ, "PORT": str(self.port), **settings}
        ended = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", check=False
        )
        said = ended.stdout + ended.stderr
        assert ended.returncode == 0, f"{' '.join(command)}: {said}"
        return said

    def up(self, **settings: str) -> str:
        """Bring it up until all of it is healthy."""
        if self.docker.compose_version.startswith("1."):
            said = self.compose("up", "-d", "--build", **settings)
        else:
            said = self.compose("up", "-d", "--build", "--wait", **settings)
        wait_for(lambda: all(c.health == "healthy" for c in self.containers()), "healthy")
        return said

    def containers(self) -> list[Container]:
        ids = self.docker.containers(self.name)
        return self.docker.inspect(ids) if ids else []

    def container(self, service: str) -> Container:
        (found,) = (each for each in self.containers() if each.service == service)
        return found

    def users(self) -> Mapping[str, set[int]]:
        """Return the user ids of each service's processes."""
        found: dict[str, set[int]] = {}
        for each in self.containers():
            root = psutil.Process(each.pid)
            users = found.setdefault(each.service, {*root.uids()})
            for process in root.children(recursive=True):
                with suppress(psutil.NoSuchProcess):  # a health check that has just ended
                    users |= {*process.uids()}
        return found

    def calls_under_way(self) -> int:
        """Return how many connections the app has to the API: its requests in service."""
        table = Path(f"/proc/{self.container('app').pid}/net/tcp").read_text().splitlines()[1:]
        rows = [line.split() for line in table]
        api = f":{8800:04X}"
        return sum(row[2].endswith(api) and row[3] == ESTABLISHED for row in rows)

    def get(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read().decode()
        finally:
            connection.close()
        assert response.status == HTTPStatus.OK, body
        return body

    def left(self) -> list[str]:
        """Return what the engine still has of it."""
        label = ("--filter", f"label={PROJECT_LABEL}={self.name}")
        kinds = {"container": ("ls", "--all"), "network": ("ls",), "volume": ("ls",)}
        return [
            f"{kind} {each}"
            for kind, words in kinds.items()
            for each in self.docker.call(kind, *words, "--quiet", *label).split()
        ]


@contextmanager
def project(docker: Docker, deployment: str) -> Iterator[Project]:
    """Yield a project that is not up yet; it is gone afterwards, and nothing is left of it."""
    found = Project(docker, deployment)
    try:
        yield found
    finally:
        found.compose("down", "--volumes", "--timeout", "1")
    assert not found.left()
