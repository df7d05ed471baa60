"""The slow API: what the app waits for."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.processes.ports import free_port
from bench.processes.process import ServerProcess
from bench.processes.ready import wait_until_ready
from bench.services import http
from bench.services.surroundings import RunningService, Surroundings, base_environment

DEADLINE = 15.0
"""Seconds until it has to answer; it takes about 0.3 s."""

_HOST = "127.0.0.1"


@contextmanager
def slow_api(surroundings: Surroundings) -> Iterator[RunningService]:
    """Run ``slow_api/server.py`` on a free port, and hand out its ``API_URL``."""
    port = free_port(_HOST)
    address = f"{_HOST}:{port}"
    process = ServerProcess(
        "the slow API",
        [surroundings.python, str(surroundings.root / "slow_api" / "server.py")],
        environment={**base_environment(), "BIND": address},
        cwd=surroundings.root,
        log=surroundings.folder / "slow_api.log",
        guardian=surroundings.guardian,
        grace=5.0,  # whoever still waits for it is gone by now
    )
    with process:
        ready = http.probe(_HOST, port, "/healthz")
        wait_until_ready(ready, [process], deadline=DEADLINE, what="the slow API")
        yield RunningService(
            name="api",
            pid=process.pid,
            address=address,
            check=process.check_running,
            environment={"API_URL": f"http://{address}"},
        )
