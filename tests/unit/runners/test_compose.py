from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from bench.catalog import load_catalog
from bench.errors import TrialError, UsageError
from bench.model import Deployment, Workload
from bench.own_app.app import OwnApp
from bench.processes.guardian import Guardian
from bench.runners import RunnerOptions
from bench.runners import compose as module
from bench.runners.compose import ComposeRunner, settings_of
from tests.unit.engine import FakeDocker

CATALOG = load_catalog()


def deployment(name: str) -> Deployment:
    return next(d for d in CATALOG.deployments.values() if d.name == name)


API, DB, HELLO = map(CATALOG.workload, ("api", "db", "hello"))


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """Return an engine in which everything is at once right, and answers."""
    docker = FakeDocker()
    monkeypatch.setattr(module, "find_docker", lambda _: docker)
    monkeypatch.setattr(module, "readiness", lambda *_: None)
    return docker


@pytest.fixture
def options(tmp_path: Path) -> Iterator[RunnerOptions]:
    for folder in ("compose", "flask_app", "trial"):
        (tmp_path / folder).mkdir()
    for name in ("gevent-uwsgi", "nginx-uwsgi", "sync-uwsgi"):
        (tmp_path / "compose" / f"{name}.yml").touch()
    with Guardian() as guardian:
        yield RunnerOptions(
            root=tmp_path,
            folder=tmp_path,
            guardian=guardian,
            app=OwnApp("app:app", tmp_path / "flask_app"),
        )


@pytest.fixture
def runner(
    docker: FakeDocker, options: RunnerOptions, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ComposeRunner]:
    monkeypatch.setattr("bench.services.compose.remove_project", lambda *_, **__: [])
    with ComposeRunner(options) as runner:
        yield runner
    assert docker.made == {}


def bring_up(
    stack: ExitStack, runner: ComposeRunner, name: str, workload: Workload, folder: Path
) -> Sequence[str]:
    running = stack.enter_context(runner.up(deployment(name), workload, folder))
    return running.commands["server"]


def services(docker: FakeDocker) -> list[str]:
    return [each.service for each in docker.made.values()]


def test_only_what_the_workload_uses_is_started(
    runner: ComposeRunner, docker: FakeDocker, tmp_path: Path
) -> None:
    for name, workload, expected in (
        ("gevent-uwsgi", HELLO, ["app"]),
        ("gevent-uwsgi", API, ["api", "app"]),
        ("nginx-uwsgi", DB, ["api", "database", "app", "nginx"]),
    ):
        with ExitStack() as stack:
            bring_up(stack, runner, name, workload, tmp_path / "trial")
            assert services(docker) == expected
    assert services(docker) == ["api", "database"]  # they stay until the end of the run


def test_the_record_says_what_one_would_type(runner: ComposeRunner, tmp_path: Path) -> None:
    named = replace(deployment("nginx-uwsgi").with_settings(workers=2), name="nginx-uwsgi@compose")
    with runner.up(named, DB, tmp_path / "trial") as running:
        assert running.commands == {
            "server": ("docker-compose", "-f", "compose/nginx-uwsgi.yml", "up", "app", "nginx")
        }
        assert running.environment == {
            "WORKERS": "2",
            "ASYNC_CORES": "2000",
            "BACKLOG": "4096",
            "DB_POOL_SIZE": "40",
            "PORT": str(running.target.port),
        }
        assert running.target.roles == {}  # these processes are not of this kernel
        running.check()
    assert "not known" in runner.notes[0]
    assert runner.versions["docker engine"] == "28.2.2"
    assert runner.versions["image flask-bench/app"] == "sha256:0123456789ab"


def test_settings_are_those_that_the_deployment_has() -> None:
    assert settings_of(deployment("devserver"), API) == {}
    assert settings_of(deployment("sync-uwsgi"), HELLO) == {
        "WORKERS": "4",
        "THREADS": "50",
        "BACKLOG": "4096",
    }


def test_images_are_built_once_and_what_failed_is_not_tried_again(
    runner: ComposeRunner, docker: FakeDocker, tmp_path: Path
) -> None:
    for _ in range(2):
        with runner.up(deployment("gevent-uwsgi"), HELLO, tmp_path / "trial"):
            pass
    assert [call for call in docker.calls if call.startswith("build")] == [
        "build --force-rm app (gevent-uwsgi.yml)"
    ]
    docker.fail["build"] = "no compiler"
    for _ in range(2):
        with (
            pytest.raises(TrialError, match="no compiler"),
            runner.up(deployment("sync-uwsgi"), HELLO, tmp_path / "trial"),
        ):
            pass
    assert sum(call.startswith("build") for call in docker.calls) == 2


def test_a_service_that_died_is_started_anew(
    runner: ComposeRunner, docker: FakeDocker, tmp_path: Path
) -> None:
    with runner.up(deployment("gevent-uwsgi"), API, tmp_path / "trial") as running:
        docker.change("api", status="exited", exit_code=1)
        with pytest.raises(TrialError, match="the container api exited with status 1"):
            running.check()
    with runner.up(deployment("gevent-uwsgi"), API, tmp_path / "trial") as running:
        running.check()
    assert "log of api" in (tmp_path / "services" / "api.log").read_text()


def test_a_service_that_never_gets_healthy(
    runner: ComposeRunner,
    docker: FakeDocker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "HEALTHY_WITHIN", 0.05)
    object.__setattr__(docker, "health", "starting")
    with (
        pytest.raises(TrialError, match=r"api is starting\n.*end of its log:\nlog of api"),
        runner.up(deployment("gevent-uwsgi"), API, tmp_path / "trial"),
    ):
        pass
    assert docker.made == {}


def test_one_that_exits_before_it_is_ready(
    runner: ComposeRunner,
    docker: FakeDocker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def dies(*_: object) -> str:
        docker.change("app", status="exited", exit_code=2)
        return "connection refused"

    monkeypatch.setattr(module, "readiness", dies)
    with (
        pytest.raises(TrialError, match="the container app exited with status 2") as failed,
        runner.up(deployment("gevent-uwsgi"), HELLO, tmp_path / "trial"),
    ):
        pass
    assert "To see more: `WORKERS=4" in str(failed.value)
    assert docker.made == {}
    assert (tmp_path / "trial" / "server.log").exists()


def test_deployments_without_a_file_are_left_out(runner: ComposeRunner) -> None:
    left_out = runner.left_out([deployment("gevent-uwsgi"), deployment("devserver")])
    assert left_out == {"devserver": "there is no compose/devserver.yml"}


def test_what_it_cannot_run_is_refused(options: RunnerOptions, docker: FakeDocker) -> None:
    for refused in (
        replace(options, app=OwnApp("shop:create_app()", options.demo_folder)),
        replace(options, app=OwnApp("app:app", options.root)),
        replace(options, database_url="postgresql://localhost/x"),
        replace(options, database_connections=98),
    ):
        with pytest.raises(UsageError, match="RUNNER=local"), ComposeRunner(refused):
            pass
    assert docker.calls == []


def test_the_compose_files_database_grants_what_is_promised() -> None:
    text = (Path(__file__).parents[3] / "compose" / "services.yml").read_text()
    assert f"max_connections={module.MOST_CONNECTIONS + 3}]" in text
