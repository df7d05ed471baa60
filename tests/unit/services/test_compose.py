from pathlib import Path
from typing import Any

import pytest

from bench.errors import TrialError
from bench.processes.guardian import Guardian
from bench.services import compose
from bench.services.compose import Project, Started
from tests.unit.engine import FakeDocker


class Ledger(Guardian):
    def __init__(self) -> None:
        super().__init__()
        self.commands: dict[str, tuple[str, ...]] = {}

    def watch_command(self, name: str, command: Any) -> None:
        self.commands[name] = tuple(command)

    def release_command(self, name: str) -> None:
        del self.commands[name]


@pytest.fixture
def docker() -> FakeDocker:
    return FakeDocker()


@pytest.fixture
def guardian() -> Ledger:
    return Ledger()


@pytest.fixture
def project(docker: FakeDocker, guardian: Ledger, tmp_path: Path) -> Project:
    return Project(docker, "flask-bench-1", root=tmp_path, guardian=guardian)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "compose" / "x.yml"


def test_the_guardian_removes_it_until_it_is_removed(
    project: Project, guardian: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    (command,) = guardian.commands.values()
    assert command[-4:] == (
        *("-m", "bench.services.docker_cleanup"),
        *("/usr/bin/docker", "flask-bench-1"),
    )
    monkeypatch.setattr(compose, "remove_project", lambda *_, **__: ["network abc"])
    with pytest.raises(TrialError, match="`docker network rm abc`"):
        project.remove()
    assert guardian.commands
    monkeypatch.setattr(compose, "remove_project", lambda *_, **__: [])
    project.remove()
    assert not guardian.commands


def test_a_build_that_fails_says_how_to_see_more(
    project: Project, docker: FakeDocker, file: Path, tmp_path: Path
) -> None:
    project.build(file, ["app"], tmp_path / "build.log")
    docker.fail["build"] = "no compiler"
    with pytest.raises(TrialError, match="image of app cannot be built: no compiler") as failed:
        project.build(file, ["app"], tmp_path / "build.log")
    assert "`docker-compose -f compose/x.yml build app`" in str(failed.value)
    assert (tmp_path / "build.log").read_text() == "said\nno compiler"
    assert docker.calls[0] == "build --force-rm app (x.yml)"


def test_containers_are_started_without_what_they_depend_on(
    project: Project, docker: FakeDocker, file: Path
) -> None:
    started = project.start(file, ["api", "database"], {"PORT": "8001"})

    assert [each.name for each in started] == ["the container api", "the container database"]
    assert "--no-deps" in docker.calls[0]
    assert docker.settings == [{"PORT": "8001"}]


def test_one_that_does_not_start_says_how_to_see_more(
    project: Project, docker: FakeDocker, file: Path
) -> None:
    docker.fail["up"] = "no such program"
    with pytest.raises(TrialError, match="app did not start: no such program") as failed:
        project.start(file, ["app"], {"WORKERS": "2"})
    assert "`WORKERS=2 docker-compose -f compose/x.yml up app`" in str(failed.value)


def test_at_the_end_logs_are_kept_and_nothing_else(
    project: Project, docker: FakeDocker, file: Path, tmp_path: Path
) -> None:
    project.start(file, ["api"], {})
    project.start(file, ["app"], {})
    project.start(file, ["nginx"], {})

    project.end(["app", "nginx"], grace=15, folder=tmp_path)

    assert [each.service for each in docker.made.values()] == ["api"]
    assert (tmp_path / "server.log").read_text() == "log of app\n"
    assert (tmp_path / "nginx.log").read_text() == "log of nginx\n"
    assert docker.calls[-2].startswith("stop -t 15 app")

    project.end(["app"], grace=15, folder=tmp_path)  # again: there is nothing to do


def test_what_does_not_stop_is_removed_all_the_same(
    project: Project, docker: FakeDocker, file: Path, tmp_path: Path
) -> None:
    project.start(file, ["app"], {})
    docker.fail["stop"] = "did not end"
    with pytest.raises(TrialError):
        project.end(["app"], grace=1, folder=tmp_path)
    assert docker.made == {}
    assert (tmp_path / "server.log").exists()


@pytest.fixture
def app(project: Project, file: Path) -> Started:
    return project.start(file, ["app"], {})[0]


def test_one_that_runs_is_fine(app: Started) -> None:
    app.check_running()
    app.check(app.inspect())


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"status": "exited", "exit_code": 3, "pid": 0}, "exited with status 3"),
        ({"status": "exited", "error": "no such file"}, r"\(no such file\)"),
        ({"status": "exited", "exit_code": 137, "out_of_memory": True}, "more memory than its"),
        ({"restarts": 2}, "started again, 2 times"),
        ({"pid": 7}, "started again by somebody else"),
        ({"health": "unhealthy"}, "unhealthy"),
    ],
)
def test_what_can_become_of_a_container(
    app: Started, docker: FakeDocker, facts: dict[str, object], problem: str
) -> None:
    docker.change("app", **facts)
    with pytest.raises(TrialError, match=problem) as failed:
        app.check_running()
    assert "log of app" in str(failed.value)
    assert "docker-compose -f compose/x.yml up app" in str(failed.value)


def test_one_that_somebody_removed(app: Started, docker: FakeDocker) -> None:
    docker.made.clear()
    with pytest.raises(TrialError, match="is gone"):
        app.check(app.inspect())


def test_one_that_lost_a_worker_to_its_memory_limit(
    app: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.services.docker.is_here", lambda *_: True)
    monkeypatch.setattr("bench.services.compose.cgroup.oom_kills", lambda *_: 1)
    with pytest.raises(TrialError, match="lost a process"):
        app.check(app.inspect())
