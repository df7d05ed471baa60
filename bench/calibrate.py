"""Measures the instrument itself: one deployment under two names, and with known handicaps."""

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.analysis.calibration import BASE, TWIN, subject_name
from bench.analysis.metrics import cpu_per_request
from bench.catalog import load_catalog
from bench.errors import TrialError, UsageError
from bench.execute import Observer, execute
from bench.load import FOR_ONE_REQUEST, load_generator
from bench.model import Deployment, Load, Trial
from bench.own_app.app import DEMO_APP, OwnApp
from bench.plan import PlannedTrial, estimated_seconds, plan_trials
from bench.preflight import preflight
from bench.processes.guardian import Guardian
from bench.runners import RunnerOptions, make_runner
from bench.session import ROOT, Outcome, Warn, Watch, new_record
from bench.store import new_run_folder
from bench.trial import Bench, run_trial

HANDICAPPED = "bench.handicap:app"
PILOT_ROUNDS = 5
PILOT_HANDICAP = 20_000
"""Rounds of the handicap's loop, about half a millisecond: as much again as a request costs."""
ROWS = ("ab.tsv", "builtin.tsv")
"""The raw rows of a trial: 200 kB each, which nobody reads a thousand of."""


@dataclass(frozen=True)
class CalibrationRequest:
    """What the user asked for."""

    deployment: str
    workload: str
    workers: int
    """One by default: only where the server is the limit does a handicap show in the rate."""
    concurrency: int | None
    duration: float
    """Seconds of load per trial."""
    rounds: int
    """Per comparison."""
    comparisons: int
    """Of the deployment with itself; half as many with each handicap."""
    handicaps: tuple[float, ...]
    """Added CPU cost per request, as a part of its own."""
    seed: int | None
    generator: str | None
    results: Path
    command: tuple[str, ...]

    def __post_init__(self) -> None:
        if not all(0 < handicap <= 10 for handicap in self.handicaps):  # noqa: PLR2004
            raise UsageError("a handicap is a part of the request's CPU cost, as in 0.05 or 5%")


def carry_out_calibration(
    request: CalibrationRequest, watch: Watch, warn: Warn = lambda _: None
) -> Outcome:
    """Measure the handicap's cost, then run all trials; `calibration_of` has the tables.

    Raises:
        BenchError: it cannot be carried out, or the pilot gives no figures.

    """
    catalog = load_catalog()
    workload = catalog.workload(request.workload)
    (chosen,) = catalog.chosen((request.deployment,), workload)
    deployment = chosen.with_settings(workers=request.workers)
    generator = load_generator(request.generator or FOR_ONE_REQUEST)
    load = Load(
        request.concurrency or workload.load.concurrency,
        duration=request.duration,
        lone_requests=generator.lone_requests,
    )
    generator.check(load)
    seed = random.randrange(2**32) if request.seed is None else request.seed  # noqa: S311
    folder = new_run_folder(request.results, f"calibrate-{workload.name}")
    with Guardian() as guardian:
        options = RunnerOptions(
            root=ROOT,
            folder=folder.resolve(),
            guardian=guardian,
            app=OwnApp(HANDICAPPED, ROOT / "flask_app"),
            database_connections=workload.connections(deployment) or 0,
        )
        with make_runner(("local",), options) as runner:
            bench = Bench(runner, generator, guardian, workload, folder)
            per_part = handicap_rounds(_pilot(bench, deployment, load))
            subjects = _subjects(deployment, request.handicaps, per_part)
            plan = plan_calibration(subjects, load, request, seed)
            record = new_record(
                plan,
                workload,
                generator,
                folder=folder,
                command=request.command,
                runner="local",
                app=HANDICAPPED,
                seed=seed,
                rounds=request.rounds * request.comparisons,
            )
            record = replace(record, notes=_notes(request, per_part))
            for note in preflight(record.machine, plan, workload):
                warn(note)
            with watch(plan, workload) as observer:
                run, unsaved = execute(record, plan, bench, folder, _Tidy(observer, folder))
    return Outcome(run, folder, unsaved)


def plan_calibration(
    subjects: Sequence[Deployment], load: Load, request: CalibrationRequest, seed: int
) -> tuple[PlannedTrial, ...]:
    """Return the trials: every other block of rounds has the handicaps, too."""
    plan = plan_trials(
        subjects, lambda _: load, rounds=request.rounds * request.comparisons, seed=seed
    )
    return tuple(
        planned
        for planned in plan
        if planned.deployment.name in {BASE, TWIN} or (planned.round - 1) // request.rounds % 2 == 0
    )


def estimate(request: CalibrationRequest) -> float:
    """Return about how many seconds it will take, the pilot included."""
    catalog = load_catalog()
    deployment = catalog.deployment(request.deployment)
    subjects = _subjects(deployment, request.handicaps, 0.0)
    load = Load(1, duration=request.duration)
    plan = plan_calibration(subjects, load, request, 0)
    pilot = tuple(PlannedTrial(0, deployment, load) for _ in range(2 * PILOT_ROUNDS))
    return estimated_seconds((*plan, *pilot), catalog.workload(request.workload))


def handicap_rounds(pilot: Sequence[tuple[float, float]]) -> float:
    """Return the rounds of the handicap's loop that cost as much CPU as a whole request does.

    Args:
        pilot: CPU seconds per request without a handicap and with `PILOT_HANDICAP`.

    Raises:
        TrialError: the handicap cost nothing, so something is wrong.

    """
    without = statistics.median(plain for plain, _ in pilot)
    added = statistics.median(slowed for _, slowed in pilot) - without
    if added <= 0:
        raise TrialError("the pilot's handicap cost nothing: the machine is too busy to calibrate")
    return PILOT_HANDICAP * without / added


def _pilot(bench: Bench, deployment: Deployment, load: Load) -> list[tuple[float, float]]:
    folder = bench.folder / "pilot"
    folder.mkdir()
    bench = replace(bench, folder=folder)
    subjects = (_subject(deployment, BASE, 0), _subject(deployment, "pilot", PILOT_HANDICAP))

    def cost(number: int, subject: Deployment) -> float:
        trial = run_trial(bench, PlannedTrial(number, subject, load), lambda _phase, _done: None)
        spent = cpu_per_request(trial) if trial.valid else None
        if not spent:
            why = trial.failure or "its CPU time is not known"
            raise TrialError(f"the pilot of {deployment.name} gave no figure: {why}")
        return spent

    pilot = []
    for number in range(1, PILOT_ROUNDS + 1):
        plain, slowed = (cost(number, subject) for subject in subjects)
        pilot.append((plain, slowed))
    return pilot


def _subjects(
    deployment: Deployment, handicaps: Sequence[float], per_part: float
) -> tuple[Deployment, ...]:
    return (
        _subject(deployment, BASE, 0),
        _subject(deployment, TWIN, 0),
        *(_subject(deployment, subject_name(h), round(h * per_part)) for h in handicaps),
    )


def _subject(deployment: Deployment, name: str, rounds: int) -> Deployment:
    """Return the deployment under another name; `env` hands its handicap on to bench/handicap.py.

    In the command, so that the record shows it, and no runner has to know of handicaps.
    """
    command = ("env", f"HANDICAPPED_APP={DEMO_APP}", f"HANDICAP={rounds}", *deployment.command)
    return replace(deployment, name=name, title=f"{deployment.title}: {name}", command=command)


@dataclass
class _Tidy:
    """An observer that removes the raw rows of each valid trial, and tells another one all."""

    observer: Observer
    folder: Path

    def begins(self, planned: PlannedTrial, index: int) -> None:
        self.observer.begins(planned, index)

    def progress(self, phase: str, done: float) -> None:
        self.observer.progress(phase, done)

    def ended(self, trial: Trial) -> None:
        if trial.valid:
            for rows in ROWS:
                (self.folder / trial.folder / rows).unlink(missing_ok=True)
        self.observer.ended(trial)


def _notes(request: CalibrationRequest, per_part: float) -> tuple[str, ...]:
    return (
        f"calibration of {request.deployment} with {request.workers} worker(s):"
        f" {request.comparisons} comparisons of {request.rounds} rounds with itself",
        f"a handicap of 100% is {per_part:.0f} rounds of the loop in bench/handicap.py",
    )
