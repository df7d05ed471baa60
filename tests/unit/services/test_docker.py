import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from bench.errors import BenchError, MissingToolError, UsageError
from bench.services import docker
from bench.services.docker import CommandFailedError, Docker, find_docker, is_here, run

ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath)}
INSPECTED = """
[{"Id": "%s", "Name": "/shop_app_1", "RestartCount": 0, "Image": "sha256:abc",
  "State": {"Status": "running", "Running": true, "OOMKilled": false, "Pid": 42, "ExitCode": 0,
            "Error": "", "Health": {"Status": "healthy"}},
  "Config": {"Image": "flask-bench/uwsgi", "Labels": {"com.docker.compose.service": "app"}}}]
"""


def program(folder: Path, name: str, script: str) -> Path:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it yet but what scripts need."""
    for tool in ("sleep", "cat"):
        found = next(p for p in ("/bin", "/usr/bin") if Path(p, tool).exists())
        (tmp_path / tool).symlink_to(Path(found, tool))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


ANSWERS = """
case "$1" in
  context) echo unix:///var/run/docker.sock;;
  version) echo 28.2.2;;
  compose) echo v2.40.3;;
esac
"""


def test_engine_and_compose_are_found_with_their_versions(path: Path) -> None:
    program(path, "docker", ANSWERS)

    found = find_docker({"MARK": "1"})

    assert found.compose == (str(path / "docker"), "compose")
    assert (found.engine_version, found.compose_version) == ("28.2.2", "2.40.3")


def test_compose_of_its_own_where_the_engine_has_none(path: Path) -> None:
    program(path, "docker", ANSWERS.replace("echo v2.40.3", "exit 1"))
    program(path, "docker-compose", "echo 1.29.2")

    found = find_docker({})

    assert found.compose == (str(path / "docker-compose"),)
    assert found.compose_version == "1.29.2"


def test_no_docker_and_no_compose(path: Path) -> None:
    with pytest.raises(MissingToolError, match="apt install docker"):
        find_docker({})
    program(path, "docker", ANSWERS.replace("echo v2.40.3", "exit 1"))
    with pytest.raises(MissingToolError, match="Compose is not installed"):
        find_docker({})


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        (
            "Cannot connect to the Docker daemon at unix:///x.sock. Is the docker daemon running?",
            "systemctl start docker",
        ),
        (
            "permission denied while trying to connect to the Docker daemon socket",
            r"usermod -aG docker \$USER",
        ),
        ("something else", "docker info"),
    ],
)
def test_an_engine_that_cannot_be_used(path: Path, said: str, remedy: str) -> None:
    program(path, "docker", f'[ "$1" = context ] && exit; echo "{said}" >&2; exit 1')

    with pytest.raises(UsageError, match=remedy):
        find_docker({})


@pytest.mark.parametrize("endpoint", ["ssh://me@there", "tcp://10.0.0.1:2375"])
def test_an_engine_on_another_machine_is_refused(endpoint: str) -> None:
    with pytest.raises(UsageError, match="RUNNER=external"):
        docker.require_this_host(endpoint)


@pytest.mark.parametrize("endpoint", ["unix:///var/run/docker.sock", "npipe:////./pipe/x", ""])
def test_an_engine_on_this_machine_is_not(endpoint: str) -> None:
    docker.require_this_host(endpoint)


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("write /var/lib/docker/x: no space left on device", "disk is full"),
        ("Bind for 127.0.0.1:8000 failed: port is already allocated", "PORT="),
        ("Get https://registry-1.docker.io/v2/: dial tcp: no such host", "POSTGRES_IMAGE"),
    ],
)
def test_a_failure_is_told_with_its_remedy(said: str, remedy: str) -> None:
    with pytest.raises(CommandFailedError, match=remedy) as failed:
        run(["sh", "-c", f"echo '{said}' >&2; exit 3"], ENVIRONMENT, within=10)
    assert said in str(failed.value)
    assert "status 3" in str(failed.value)
    assert failed.value.output == said


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(BenchError, match="cannot start"):
        run(["/no/such/program"], ENVIRONMENT, within=10)


def test_errors_are_kept_apart_unless_they_are_asked_for() -> None:
    command = ["sh", "-c", "echo out; echo err >&2"]
    assert run(command, ENVIRONMENT, within=10) == "out\n"
    assert run(command, ENVIRONMENT, within=10, mixed=True) == "out\nerr\n"


def test_what_takes_too_long_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(CommandFailedError, match=r"did not end within 0\.2 s"):
        run(["sh", "-c", "echo begun; sleep 60"], ENVIRONMENT, within=0.2)
    assert time.monotonic() - began < 5


def test_an_interrupt_lets_an_order_finish(tmp_path: Path) -> None:
    script = f"sleep 0.6; touch {tmp_path / 'done'}"
    assert threading.current_thread() is threading.main_thread()
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            run(["sh", "-c", script], ENVIRONMENT, within=10)
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert (tmp_path / "done").exists()


def test_an_interrupt_ends_what_takes_longer() -> None:
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    began = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            run(["sleep", "60"], ENVIRONMENT, within=60, finish_within=0.0)
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert time.monotonic() - began < 10


def test_the_terminal_does_not_reach_it() -> None:
    own = run([sys.executable, "-c", "import os; print(os.getsid(0))"], ENVIRONMENT, within=10)
    assert int(own) != os.getsid(0)


def test_containers_come_in_the_order_asked_for(path: Path) -> None:
    program(path, "docker", "echo 'aaa database'; echo 'bbb api'; echo 'ccc nginx'")
    found = Docker(str(path / "docker"), (), "", "")

    assert found.containers("shop", "api", "database") == ["bbb", "aaa"]
    assert found.containers("shop") == ["aaa", "bbb", "ccc"]


def test_what_the_engine_tells_of_a_container(path: Path) -> None:
    (path / "told.json").write_text(INSPECTED % ("f" * 64))
    program(path, "docker", f"cat {path / 'told.json'}")

    (found,) = Docker(str(path / "docker"), (), "", "").inspect(["f"])

    assert (found.service, found.status, found.pid, found.health) == (
        "app",
        "running",
        42,
        "healthy",
    )
    assert (found.image, found.image_id) == ("flask-bench/uwsgi", "sha256:abc")


def test_compose_gets_the_settings_and_none_of_the_users(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPOSE_FILE", "other.yml")
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "other")
    compose = program(
        path, "compose", 'echo "$*|$COMPOSE_FILE$COMPOSE_PROJECT_NAME|$WORKERS|$MARK"'
    )
    found = Docker("docker", (str(compose),), "", "", {"MARK": "mine"})

    said = found.call_compose(
        Path("x.yml"), "shop", "up", settings={"WORKERS": "3"}, within=10, finish_within=0
    )

    assert said == "-f x.yml -p shop up||3|mine\n"


def test_a_process_is_known_by_its_containers_control_group(tmp_path: Path) -> None:
    (tmp_path / "42").mkdir()
    (tmp_path / "42" / "cgroup").write_text("0::/system.slice/docker-abcdef.scope\n")

    assert is_here(42, "abcdef", tmp_path)
    assert not is_here(42, "123456", tmp_path)
    assert not is_here(43, "abcdef", tmp_path)
