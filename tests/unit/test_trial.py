"""The order of a trial and what becomes of its failures, without a process or a request."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import pytest

from bench import trial as trial_module
from bench.errors import TrialError
from bench.load.child import Guardian as LoadGuardian
from bench.model import (
    Ask,
    Deployment,
    Latency,
    Load,
    Measurement,
    MixedRequest,
    Request,
    RequestMeasurement,
    Running,
    Target,
    Verification,
    Workload,
)
from bench.plan import PlannedTrial
from bench.processes.guardian import Guardian
from bench.trial import Bench, answer_within, invalid, run_trial
from tests.unit.factories import a_deployment, a_measurement, a_workload

BODY = 20
LOAD = Load(200, requests=2000)


class FakeRunner:
    """Brings up nothing and writes down that it did."""

    versions: Mapping[str, str] = {"engine": "1"}
    notes = ("made up",)

    def __init__(self, done: list[str]) -> None:
        self.done = done
        self.start_error: Exception | None = None
        self.check_error: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return

    def left_out(self, deployments: Sequence[Deployment]) -> Mapping[str, str]:  # noqa: ARG002
        return {}

    @contextmanager
    def up(self, deployment: Deployment, workload: Workload, folder: Path) -> Iterator[Running]:  # noqa: ARG002
        if self.start_error:
            raise self.start_error
        self.done.append("up")
        try:
            yield Running(
                Target("127.0.0.1", 1), {"server": ("serve",)}, {"BIND": "there"}, self.check
            )
        finally:
            self.done.append("down")

    def check(self) -> None:
        self.done.append("check")
        if self.check_error:
            raise self.check_error


class FakeGenerator:
    """Measures what it is told to."""

    lone_requests = 1
    several_requests = False
    version = "fake 1"

    def __init__(self, done: list[str]) -> None:
        self.done = done
        self.result: Measurement | BaseException = a_measurement()
        self.asks: tuple[Ask, ...] = ()

    def check(self, load: Load) -> None: ...

    def run(
        self,
        asks: Sequence[Ask],
        load: Load,  # noqa: ARG002
        *,
        folder: Path,  # noqa: ARG002
        timeout: float,  # noqa: ARG002
        deadline: float | None = None,  # noqa: ARG002
        progress: Callable[[float], None] | None = None,
        guardian: LoadGuardian | None = None,  # noqa: ARG002
    ) -> Measurement:
        self.done.append("load")
        self.asks = tuple(asks)
        if progress:
            progress(0.5)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


class World:
    """A bench of fakes, and what happened on it."""

    def __init__(self, folder: Path) -> None:
        self.done: list[str] = []
        self.phases: list[tuple[str, float]] = []
        self.runner, self.generator = FakeRunner(self.done), FakeGenerator(self.done)
        self.bench = Bench(
            self.runner, self.generator, cast("Guardian", None), a_workload(), folder
        )

    def run(self, load: Load = LOAD) -> Any:
        planned = PlannedTrial(2, a_deployment(), load)
        return run_trial(self.bench, planned, lambda name, part: self.phases.append((name, part)))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)

    def verify(*_: object) -> Verification:
        world.done.append("verify")
        return Verification(200, 0.5, BODY, 0.501, 180)

    def warm_up(*_: object, **__: object) -> int:
        world.done.append("warm up")
        return 2

    def spin() -> float:
        world.done.append("canary")
        return 0.05

    monkeypatch.setattr(trial_module, "verify", verify)
    monkeypatch.setattr(trial_module, "warm_up", warm_up)
    monkeypatch.setattr(trial_module, "spin", spin)
    return world


ALL = ["canary", "up", "verify", "warm up", "load", "check", "down", "canary"]


def test_a_trial_is_one_sentence(world: World, tmp_path: Path) -> None:
    trial = world.run()
    assert world.done == ALL
    assert trial.valid
    assert trial.folder == "02-gevent-uwsgi"
    assert (tmp_path / trial.folder / "samples.csv").exists()
    (ask,) = world.generator.asks
    assert ask.url == "http://127.0.0.1:1/?delay=1"
    assert set(trial.seconds) == {"observe", "start", "verify", "warm-up", "load", "stop"}
    assert [name for name, _ in world.phases] == [
        *("start", "verify", "warm-up", "load", "stop"),
    ]


def test_the_load_is_told_what_to_send_and_that_lengths_do_not_count(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    varying = Verification(200, None, BODY, 0.5, None, bodies_vary=True)
    monkeypatch.setattr(trial_module, "verify", lambda *_: varying)
    world.generator.result = a_measurement(body_bytes=BODY + 1)
    assert world.run().valid
    (ask,) = world.generator.asks
    assert (ask.request, ask.bodies_vary) == (Request(), True)


def test_what_was_observed_is_in_the_record(world: World) -> None:
    trial = world.run()
    assert "harness" in trial.usage
    assert trial.surroundings.canary_before == trial.surroundings.canary_after == 0.05


def test_a_server_that_does_not_come_up(world: World) -> None:
    world.runner.start_error = TrialError("its log says why")
    trial = world.run()
    assert (trial.failure, trial.measurement) == ("its log says why", None)
    assert world.done == ["canary", "canary"]
    assert trial.surroundings.canary_after == 0.05


def test_a_failing_load_is_the_failure_and_everything_is_stopped(world: World) -> None:
    world.generator.result = TrialError("ab ended with exit code 22")
    trial = world.run()
    assert trial.failure == "ab ended with exit code 22"
    assert trial.commands == {"server": ("serve",)}
    assert world.done[-2:] == ["down", "canary"]


def test_a_disk_that_is_full_is_the_failure(world: World, tmp_path: Path) -> None:
    (tmp_path / "02-gevent-uwsgi").mkdir()
    assert world.run().failure.startswith("FileExistsError: ")


def test_an_interrupt_stops_everything_and_goes_on(world: World) -> None:
    world.generator.result = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        world.run()
    assert world.done[-1] == "down"


def test_wrong_answers_keep_their_figures(world: World) -> None:
    world.generator.result = a_measurement(failures={"non_2xx": 7, "length": 0})
    trial = world.run()
    assert not trial.valid
    assert trial.measurement is not None
    assert trial.failure == "not every response was right, of 2000: 7 non_2xx"


def test_a_server_that_died_says_so_beside_the_wrong_answers(world: World) -> None:
    world.generator.result = a_measurement(failures={"receive": 1})
    world.runner.check_error = TrialError("uwsgi exited with status 1")
    first, last = world.run().failure.splitlines()
    assert "1 receive" in first
    assert last == "uwsgi exited with status 1"


def test_a_request_of_a_scenario_that_never_came(world: World) -> None:
    mix = (MixedRequest("/", weight=199), MixedRequest("/rare"))
    world.bench = replace(world.bench, workload=a_workload(delay=None, mix=mix))
    latency = Latency(p50=1.0, p90=1.0, p99=1.0, max=1.0)
    parts = [RequestMeasurement(n, 0, latency if n else None) for n in (2000, 0)]
    world.generator.result = a_measurement(mix=tuple(parts))
    trial = world.run(Load(200, duration=3.0))
    assert not trial.valid
    assert trial.failure == (
        "/rare, 0.005 of all, was never sent within 3 s: set a longer DURATION, or REQUESTS=200 or"
        " more"
    )
    world.generator.result = a_measurement(mix=(parts[0], parts[0]))
    world.bench = replace(world.bench, folder=world.bench.folder / trial.folder)
    assert world.run(Load(200, duration=3.0)).valid


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        (
            {"failures": {"connect": 3}, "details": {"first_connect_error": "Too many open files"}},
            "not every response was right, of 2000: 3 connect;"
            " the first that could not connect: Too many open files",
        ),
        ({"requests": 0}, "not one response came"),
        ({"body_bytes": 7}, "the bodies had 7 bytes under load and 20 when they were verified"),
    ],
)
def test_what_must_not_be_ranked(changes: Mapping[str, Any], said: str | None) -> None:
    assert invalid(replace(a_measurement(), **changes), BODY) == said


def test_a_full_queue_may_take_as_long_as_all_its_requests() -> None:
    assert answer_within(a_workload(delay=2.0), Load(5, requests=10)) == 40.0
    assert answer_within(a_workload(delay=None), Load(5, requests=10)) == 30.0
