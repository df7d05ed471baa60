from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import execute as module
from bench.errors import BenchError
from bench.execute import execute
from bench.model import Load, Run, Trial
from bench.plan import PlannedTrial
from bench.store import load_run, save_run
from tests.unit.factories import a_deployment, a_failed_trial, a_run, a_trial

PLAN = [PlannedTrial(1, a_deployment(name), Load(1, requests=1)) for name in ("one", "two", "six")]
START = a_run(
    status="running",
    finished=None,
    planned=tuple((planned.round, planned.deployment.name) for planned in PLAN),
)
BENCH: Any = SimpleNamespace(
    runner=SimpleNamespace(versions={"engine": "20.10"}, notes=("not sampled",))
)
"""The trials are made up here: nobody looks at it."""


class Watcher:
    """An observer that writes everything down, beside what was saved by then."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: list[tuple[Any, ...]] = []

    def begins(self, planned: PlannedTrial, index: int) -> None:
        saved = load_run(self.folder)
        self.seen.append(("begins", planned.deployment.name, index, len(saved.trials)))

    def progress(self, phase: str, done: float) -> None:
        self.seen.append((phase, done))

    def ended(self, trial: Trial) -> None:
        saved = load_run(self.folder)
        self.seen.append(("ended", trial.deployment.name, len(saved.trials), saved.status))


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a way to say what becomes of each trial: a `Trial`, or an exception to raise."""

    def use(*outcomes: Trial | BaseException) -> None:
        left = list(outcomes)

        def run_trial(_bench: object, planned: PlannedTrial, progress: Any) -> Trial:
            progress("load", 0.5)
            outcome = left.pop(0)
            if isinstance(outcome, BaseException):
                raise outcome
            assert planned.deployment.name == outcome.deployment.name
            return outcome

        monkeypatch.setattr(module, "run_trial", run_trial)

    return use


def names(run: Run) -> list[str]:
    return [trial.deployment.name for trial in run.trials]


def test_it_is_saved_before_the_first_and_after_every_trial(
    tmp_path: Path, trials: Callable[..., None]
) -> None:
    trials(a_trial("one"), a_failed_trial("two"), a_trial("six"))
    watcher = Watcher(tmp_path)

    run, unsaved = execute(START, PLAN, BENCH, tmp_path, watcher)

    assert unsaved is None
    assert watcher.seen == [
        ("begins", "one", 0, 0),
        ("load", 0.5),
        ("ended", "one", 1, "running"),
        ("begins", "two", 1, 1),
        ("load", 0.5),
        ("ended", "two", 2, "running"),
        ("begins", "six", 2, 2),
        ("load", 0.5),
        ("ended", "six", 3, "running"),
    ]
    assert run.status == "complete"
    assert run.finished is not None
    assert load_run(tmp_path) == run


def test_a_failed_trial_does_not_keep_the_others_from_running(
    tmp_path: Path, trials: Callable[..., None]
) -> None:
    trials(a_failed_trial("one"), a_trial("two"), a_trial("six"))
    run, _ = execute(START, PLAN, BENCH, tmp_path, Watcher(tmp_path))
    assert [trial.valid for trial in run.trials] == [False, True, True]


def test_an_interrupt_keeps_what_was_measured(tmp_path: Path, trials: Callable[..., None]) -> None:
    trials(a_trial("one"), KeyboardInterrupt())

    run, unsaved = execute(START, PLAN, BENCH, tmp_path, Watcher(tmp_path))

    assert unsaved is None
    assert names(run) == ["one"]
    assert run.status == "interrupted"
    assert run.finished is not None
    assert load_run(tmp_path) == run


def test_a_run_that_was_killed_says_running(tmp_path: Path, trials: Callable[..., None]) -> None:
    trials(a_trial("one"), SystemError("stands for a kill: nothing is caught"))
    with pytest.raises(SystemError):
        execute(START, PLAN, BENCH, tmp_path, Watcher(tmp_path))

    saved = load_run(tmp_path)
    assert (saved.status, saved.finished, names(saved)) == ("running", None, ["one"])


def test_a_disk_that_fills_up_loses_no_result(
    tmp_path: Path, trials: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(run: Run, folder: Path) -> None:
        if len(run.trials) > 1:
            raise BenchError("the disk is full")
        save_run(run, folder)

    monkeypatch.setattr(module, "save_run", save)
    trials(a_trial("one"), a_trial("two"), a_trial("six"))

    run, unsaved = execute(START, PLAN, BENCH, tmp_path, Watcher(tmp_path))

    assert str(unsaved) == "the disk is full"
    assert names(run) == ["one", "two", "six"]
    assert names(load_run(tmp_path)) == ["one"]


def test_a_disk_that_has_room_again_is_no_error(
    tmp_path: Path, trials: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(run: Run, folder: Path) -> None:
        if len(run.trials) == 1:
            raise BenchError("the disk is full")
        save_run(run, folder)

    monkeypatch.setattr(module, "save_run", save)
    trials(a_trial("one"), a_trial("two"), a_trial("six"))
    monkeypatch.setattr(Watcher, "ended", lambda *_: None)

    run, unsaved = execute(START, PLAN, BENCH, tmp_path, Watcher(tmp_path))

    assert load_run(tmp_path) == run
    assert unsaved is None


def test_a_last_state_that_was_saved_at_last_is_no_error(
    tmp_path: Path, trials: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(run: Run, folder: Path) -> None:
        if len(run.trials) == 3 and run.status == "running":
            raise BenchError("the disk is full")
        save_run(run, folder)

    monkeypatch.setattr(module, "save_run", save)
    trials(a_trial("one"), a_trial("two"), a_trial("six"))

    run, unsaved = execute(START, PLAN, BENCH, tmp_path, Watcher(tmp_path))

    assert load_run(tmp_path) == run
    assert unsaved is None
