"""The services for real: they answer, and when they are stopped nothing of them is left."""

import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import ClassVar

import psutil
import psycopg2
import pytest

from bench.errors import BenchError, MissingToolError, TrialError
from bench.processes import family
from bench.processes.guardian import Guardian
from bench.processes.ports import free_port, require_free
from bench.services import http as client
from bench.services import nginx as nginx_module
from bench.services import postgres_files
from bench.services.nginx import find_nginx, nginx, nginx_version
from bench.services.postgres import external_postgres, postgres
from bench.services.slow_api import slow_api
from bench.services.surroundings import RunningService, Surroundings

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
needs_nginx = pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")

# A harness with all its services, that says what it has and waits to be killed.
HARNESS = """
import json, sys, time
from contextlib import ExitStack
from pathlib import Path
from bench.processes.guardian import Guardian
from bench.processes.ports import free_port
from bench.services.nginx import find_nginx, nginx
from bench.services.postgres import postgres
from bench.services.slow_api import slow_api
from bench.services.surroundings import Surroundings

folder, root = map(Path, sys.argv[1:])
with ExitStack() as stack:
    guardian = stack.enter_context(Guardian())
    surroundings = Surroundings(folder, guardian, root, sys.executable)
    services = [slow_api(surroundings), postgres(surroundings, max_connections=10)]
    if find_nginx():
        services.append(nginx(surroundings, config=Path("nginx/gunicorn.conf"),
                              app_address="127.0.0.1:9", port=free_port(), backlog=128))
    up = [stack.enter_context(service) for service in services]
    print(json.dumps({"token": guardian.token, "guardian": guardian.pid,
                      "services": [[each.pid, each.address] for each in up]}), flush=True)
    time.sleep(600)
"""


@pytest.fixture(name="surroundings")
def _surroundings(tmp_path: Path) -> Iterator[Surroundings]:
    with Guardian() as guardian:
        yield Surroundings(tmp_path, guardian, ROOT, sys.executable)


@pytest.fixture(name="app")
def _app() -> Iterator[str]:
    """Serve ``hello`` on every path; return the address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Hello(http.server.BaseHTTPRequestHandler):
    seen: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        self.seen.append(self.headers["X-Forwarded-Proto"])
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def kept_from_hanging(child: subprocess.Popen[str]) -> Iterator[None]:
    """End the child if the test fails: ``Popen`` would wait for it."""
    try:
        yield
    finally:
        child.kill()


def wait_for(condition: Callable[[], bool], what: str, deadline: float = 30.0) -> None:
    until = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < until, f"{what}: not within {deadline} s"
        time.sleep(0.005)


def all_of(service: RunningService) -> set[psutil.Process]:
    assert service.pid is not None
    found = family.find([service.pid])
    assert found
    return found


def host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.partition(":")
    return host, int(port)


def assert_nothing_left(processes: set[psutil.Process], address: str) -> None:
    assert [process for process in processes if family.is_alive(process)] == []
    require_free(*host_and_port(address))


def data_folder(service: RunningService) -> Path:
    command = psutil.Process(service.pid).cmdline()
    return Path(command[command.index("-D") + 1])


def segment_of(data: Path) -> str:
    return (data / "postmaster.pid").read_text().splitlines()[6].split()[1]


def shared_memory_segments() -> set[str]:
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return {line.split()[1] for line in lines}


def test_the_slow_api_answers_and_leaves_nothing(surroundings: Surroundings) -> None:
    with slow_api(surroundings) as service:
        processes = all_of(service)
        assert service.environment == {"API_URL": f"http://{service.address}"}
        began = time.monotonic()
        answer = client.get(*host_and_port(service.address), "/?delay=0.2")
        assert answer.status == 200
        assert time.monotonic() - began >= 0.2
        service.check()

    assert_nothing_left(processes, service.address)


def test_a_slow_api_that_dies_is_reported(surroundings: Surroundings) -> None:
    with slow_api(surroundings) as service:
        assert service.pid is not None
        os.kill(service.pid, signal.SIGKILL)
        process = psutil.Process(service.pid)
        wait_for(lambda: not family.is_alive(process), "its end")
        with pytest.raises(TrialError, match="the slow API was ended by SIGKILL"):
            service.check()


def test_postgres_answers_and_leaves_nothing(surroundings: Surroundings) -> None:
    with postgres(surroundings, max_connections=20) as service:
        processes = all_of(service)
        data = data_folder(service)
        url = service.environment["DATABASE_URL"]
        with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)
            processes |= all_of(service)  # with the connection's own backend
        with external_postgres(url) as seen:
            assert seen.max_connections == service.max_connections == 20
            assert seen.pid is None
            seen.check()
        assert "trust" not in (data / "pg_hba.conf").read_text().split("# TYPE")[-1]

    assert_nothing_left(processes, service.address)
    assert not data.parent.exists()


def test_nobody_gets_into_postgres_without_the_password(surroundings: Surroundings) -> None:
    with postgres(surroundings, max_connections=5) as service:
        with pytest.raises(psycopg2.OperationalError, match="no password"):
            psycopg2.connect(f"postgresql://postgres@{service.address}/postgres")
        assert data_folder(service).parent.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(not Path("/proc/sysvipc/shm").exists(), reason="reads /proc")
def test_a_killed_postgres_is_reported_and_leaves_nothing(surroundings: Surroundings) -> None:
    with postgres(surroundings, max_connections=5) as service:
        assert service.pid is not None
        data, processes = data_folder(service), all_of(service)
        segment = segment_of(data)
        assert segment in shared_memory_segments()
        os.kill(service.pid, signal.SIGKILL)
        process = psutil.Process(service.pid)
        wait_for(lambda: not family.is_alive(process), "its end")
        with pytest.raises(TrialError, match="postgres was ended by SIGKILL"):
            service.check()

    assert_nothing_left(processes, service.address)
    assert segment not in shared_memory_segments()
    assert not data.parent.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_root_can_use_postgres_from_a_folder_that_only_root_enters(
    surroundings: Surroundings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    installed = postgres_files.installation()
    site = installed.parents[1]
    copy = shutil.copytree(installed, private / installed.relative_to(site))
    for libraries in site.glob(f"{installed.parent.name}.libs"):
        shutil.copytree(libraries, private / libraries.name)
    monkeypatch.setattr(postgres_files, "installation", lambda: copy)

    with postgres(surroundings, max_connections=5) as service:
        assert service.pid is not None
        program = Path(psutil.Process(service.pid).exe())
        assert psutil.Process(service.pid).username() == "nobody"

    assert not program.is_relative_to(private)
    assert not program.exists()


def test_a_database_that_is_not_there_is_named_without_its_password() -> None:
    port = free_port()
    url = f"postgresql://me:hunter2@127.0.0.1:{port}/db"

    with pytest.raises(BenchError) as caught, external_postgres(url):
        pass

    message = str(caught.value)
    assert f"postgresql://me:***@127.0.0.1:{port}/db does not answer" in message
    assert "unset DATABASE_URL" in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://me:hunter2@host:notaport/db", "notaport"),
        ("nonsense", "no valid connection string"),
        ("postgresql://me:hun/ter2@host/db", "write @ as %40"),
        ("postgresql://me:hunt@er2@host/db", "write @ as %40"),
    ],
)
def test_a_url_that_is_none_is_refused_without_its_password(url: str, words: str) -> None:
    with pytest.raises(BenchError, match=words) as caught, external_postgres(url):
        pass

    assert caught.value.exit_code == 2
    assert not any(part in str(caught.value) for part in ("hun", "er2"))


@needs_nginx
def test_nginx_passes_requests_on_and_leaves_nothing(
    surroundings: Surroundings, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hello, "seen", [])
    config, port = Path("nginx/gunicorn.conf"), free_port()
    with nginx(surroundings, config=config, app_address=app, port=port, backlog=128) as service:
        processes = all_of(service)
        answer = client.get("127.0.0.1", port, "/")
        service.check()

    assert (answer.status, answer.body) == (200, b"hello")
    assert Hello.seen[-1] == "http"
    assert len(processes) > 1
    assert_nothing_left(processes, service.address)


@needs_nginx
@pytest.mark.parametrize("config", ["nginx/gunicorn.conf", "nginx/uwsgi.conf"])
def test_nginx_is_up_before_the_app_is(surroundings: Surroundings, config: str) -> None:
    port, nothing = free_port(), f"127.0.0.1:{free_port()}"
    with nginx(
        surroundings, config=Path(config), app_address=nothing, port=port, backlog=128
    ) as service:
        assert client.get("127.0.0.1", port, "/").status == 502
        service.check()


@needs_nginx
def test_a_configuration_that_nginx_refuses_is_shown(
    surroundings: Surroundings, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.conf"
    broken.write_text("server { listen ${BIND}; no_such_directive on; }")

    with (
        pytest.raises(TrialError, match='unknown directive "no_such_directive"'),
        nginx(surroundings, config=broken, app_address="x", port=free_port(), backlog=1),
    ):
        pass


@needs_nginx
def test_nginx_on_a_taken_port_names_the_holder(surroundings: Surroundings, app: str) -> None:
    port = host_and_port(app)[1]
    config = Path("nginx/gunicorn.conf")

    with (
        pytest.raises(TrialError, match=f"port {port} .* process {os.getpid()} "),
        nginx(surroundings, config=config, app_address=app, port=port, backlog=1),
    ):
        pass


@needs_nginx
def test_the_version_of_nginx_is_a_number() -> None:
    version = nginx_version()

    assert version is not None
    assert all(part.isdigit() for part in version.split("."))


def test_without_nginx_the_way_to_get_it_is_named(
    surroundings: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(nginx_module, "_SYSTEM_PLACES", ())

    assert nginx_version() is None
    with (
        pytest.raises(MissingToolError, match="apt install nginx"),
        nginx(surroundings, config=Path("x"), app_address="x", port=1, backlog=1),
    ):
        pass


def test_no_service_survives_a_harness_that_is_killed(tmp_path: Path) -> None:
    with (
        subprocess.Popen(
            [sys.executable, "-c", HARNESS, str(tmp_path), str(ROOT)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as harness,
        kept_from_hanging(harness),
    ):
        assert harness.stdout
        told = json.loads(harness.stdout.readline())
        leaders = [pid for pid, _ in told["services"]]
        processes = family.find([*leaders, told["guardian"]])
        assert len(processes) > len(leaders) + 1
        parent = postgres_files.temporary_parent(postgres_files.account())
        assert list(parent.glob(f"*{told['token']}*"))

        harness.kill()

    wait_for(lambda: not any(map(family.is_alive, processes)), "the end of all")
    for _, address in told["services"]:
        require_free(*host_and_port(address))
    assert not list(parent.glob(f"*{told['token']}*"))
    assert "database system is shut down" in (tmp_path / "postgres.log").read_text()
