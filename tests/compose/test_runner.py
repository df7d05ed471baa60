"""`RUNNER=compose`: the harness starts the containers, measures them, and leaves none behind."""

import signal
import socket
from pathlib import Path

import pytest

from bench.catalog import load_catalog
from bench.errors import ExitCode
from bench.services.docker import PROJECT_LABEL, Docker
from tests.compose.project import wait_for
from tests.integration.harness import Ended, run, started

pytestmark = pytest.mark.timeout(600)
SMALL = ("--requests", "200", "--concurrency", "20", "--delay", "0.1")
COMPOSE = ("run", "--runner", "compose")


def left(docker: Docker) -> list[str]:
    """Return what the engine has of any project of the harness."""
    found = []
    for kind, words in (("container", ("ls", "--all")), ("network", ("ls",)), ("volume", ("ls",))):
        format_ = f'{{{{.Label "{PROJECT_LABEL}"}}}}'
        projects = docker.call(kind, *words, "--format", format_).split()
        found += [f"{kind} of {each}" for each in projects if is_the_harnesses(each)]
    return found


def is_the_harnesses(project: str) -> bool:
    return project.startswith("flask-bench-") and not project.startswith("flask-bench-test-")


def assert_sound(ended: Ended, names: set[str]) -> None:
    assert ended.code == ExitCode.OK, ended.out + ended.err
    assert {trial.deployment.name for trial in ended.run.trials} == names
    for trial in ended.run.trials:
        assert trial.valid
        assert trial.deployment.runner == "compose"
        used = trial.usage["server"]
        assert used.cpu_seconds > 0
        assert used.memory_bytes
        assert used.processes_during >= trial.deployment.processes
        assert ("nginx" in trial.usage) == bool(trial.deployment.proxy)
        assert trial.usage["api"].memory_bytes
        assert (ended.folder / trial.folder / "server.log").exists()
        assert f"compose/{trial.deployment.name}.yml" in " ".join(trial.commands["server"])


def test_all_deployments_through_the_same_trial(docker: Docker, tmp_path: Path) -> None:
    ended = run(tmp_path, *COMPOSE, *SMALL, "--workload", "db")
    ours = {d.name for d in load_catalog().deployments.values() if d.group is None}
    assert_sound(ended, ours)
    versions = ended.run.machine.versions
    assert versions["docker engine"] == docker.engine_version
    assert not left(docker)


def test_both_runners_side_by_side(docker: Docker, tmp_path: Path) -> None:
    ended = run(
        tmp_path, "run", "gevent-uwsgi", "--runner", "local,compose", "--rounds", "2", *SMALL
    )  # fmt: skip
    assert ended.code == ExitCode.OK, ended.out + ended.err
    names = {trial.deployment.name for trial in ended.run.trials}
    assert names == {"gevent-uwsgi", "gevent-uwsgi@compose"}
    assert "What the container costs" in ended.out
    assert not left(docker)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_run_that_was_ended(
    docker: Docker, tmp_path: Path, number: signal.Signals
) -> None:
    arguments = (*COMPOSE, "gevent-gunicorn", "--requests", "2000", "--concurrency", "20")
    with started(tmp_path, *arguments) as harness:
        harness.wait_for_load()
        assert left(docker)
        harness.signal(number)
        ended = harness.wait()
        wait_for(lambda: not left(docker), "all gone")
    if number != signal.SIGKILL:
        assert ended.code == ExitCode.INTERRUPTED


class TestWhatGoesWrong:
    def test_no_engine(self, tmp_path: Path) -> None:
        ended = run(tmp_path, *COMPOSE, *SMALL, DOCKER_HOST=f"unix://{tmp_path}/none.sock")
        assert ended.code == ExitCode.USAGE
        assert "engine is not running" in ended.err
        assert not list(ended.results.iterdir())

    def test_the_port_is_taken(self, docker: Docker, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            ended = run(tmp_path, *COMPOSE, "gevent-pywsgi", *SMALL, "--port", port)
        assert ended.code == ExitCode.TRIAL_FAILED
        assert port in ended.out
        assert not left(docker)

    def test_an_image_that_cannot_be_built(self, docker: Docker, tmp_path: Path) -> None:
        ended = run(
            tmp_path, *COMPOSE, "gevent-pywsgi", *SMALL, PYTHON_IMAGE="flask-bench.invalid/none:1"
        )  # fmt: skip
        assert ended.code == ExitCode.TRIAL_FAILED
        assert "cannot be built" in ended.out
        assert "PYTHON_IMAGE" in ended.out
        assert not left(docker)

    def test_a_container_that_ends_at_once(self, docker: Docker, tmp_path: Path) -> None:
        # uWSGI refuses a thousand million greenlets
        ended = run(tmp_path, *COMPOSE, "gevent-uwsgi", *SMALL, "--async-cores", "1000000000")
        assert ended.code == ExitCode.TRIAL_FAILED
        assert "exited" in ended.out
        assert "To see more" in ended.out
        assert not left(docker)

    def test_an_app_of_ones_own(self, tmp_path: Path) -> None:
        ended = run(tmp_path, *COMPOSE, "--app", "shop:app", "--url-path", "/", *SMALL[:4])
        assert ended.code == ExitCode.USAGE
        assert "RUNNER=external" in ended.err
