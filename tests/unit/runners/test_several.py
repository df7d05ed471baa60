"""Several runners that stand for one, and their names."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.catalog import load_catalog
from bench.errors import UsageError
from bench.model import Deployment, Running, Target, Workload
from bench.plan import placed
from bench.runners import runner_names, several
from bench.runners.several import SeveralRunners


class Named:
    """A runner that writes down what happens to it."""

    def __init__(self, name: str, done: list[str]) -> None:
        self.name, self.done = name, done
        self.versions = {f"{name} engine": "1"}
        self.notes = (f"by {name}",)

    def __enter__(self) -> "Named":
        if self.name == "broken":
            raise UsageError("no engine")
        self.done.append(f"{self.name} opened")
        return self

    def __exit__(self, *_: object) -> None:
        self.done.append(f"{self.name} closed")

    def left_out(self, deployments: Sequence[Deployment]) -> Mapping[str, str]:
        return {d.name: self.name for d in deployments if d.base_name == "nginx-uwsgi"}

    @contextmanager
    def up(self, deployment: Deployment, _workload: Workload, _folder: Path) -> Iterator[Running]:
        self.done.append(f"{deployment.name} by {self.name}")
        yield Running(Target("127.0.0.1", 1), {}, {}, lambda: None)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    done: list[str] = []
    monkeypatch.setattr(several, "make_runner", lambda names, _options: Named(names[0], done))
    return done


def deployments(*names: str) -> tuple[Deployment, ...]:
    return placed([load_catalog().deployment(name) for name in names], ("local", "compose"))


def test_each_deployment_goes_to_its_own(done: list[str], tmp_path: Path) -> None:
    nothing: Any = None
    workload = load_catalog().workload("api")
    with SeveralRunners(("local", "compose"), nothing) as runner:
        for deployment in deployments("gevent-uwsgi"):
            with runner.up(deployment, workload, tmp_path):
                pass
        left_out = runner.left_out(deployments("gevent-uwsgi", "nginx-uwsgi"))
    assert done == [
        "local opened",
        "compose opened",
        "gevent-uwsgi by local",
        "gevent-uwsgi@compose by compose",
        "compose closed",
        "local closed",
    ]
    assert left_out == {"nginx-uwsgi": "local", "nginx-uwsgi@compose": "compose"}
    assert runner.versions == {"local engine": "1", "compose engine": "1"}
    assert runner.notes == ("by local", "by compose")


def test_what_is_open_is_closed_when_the_next_does_not_open(done: list[str]) -> None:
    nothing: Any = None
    with pytest.raises(UsageError, match="no engine"), SeveralRunners(("local", "broken"), nothing):
        pytest.fail("entered")
    assert done == ["local opened", "local closed"]


def test_names() -> None:
    assert runner_names("local") == ("local",)
    assert runner_names("compose, local") == ("compose", "local")
    assert runner_names("local,local") == ("local",)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("docker", "Known: local, compose, external"),
        ("", "no runner is called ''"),
        ("local,cloud", "no runner is called 'cloud'"),
        ("local,external", "goes alone"),
    ],
)
def test_no_such_names(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        runner_names(text)


def test_a_deployment_in_a_container_is_copied_with_its_files() -> None:
    local, compose = deployments("gevent-uwsgi")
    assert local.copy == load_catalog().deployment("gevent-uwsgi").copy
    assert compose.copy == (
        "compose/services.yml",
        "compose/gevent-uwsgi.yml",
        "flask_app/Dockerfile",
        *local.copy,
    )
