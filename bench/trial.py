"""One trial: up → verify → warm up → load → down."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.analysis.limits import expected_at_once
from bench.errors import BenchError, TrialError
from bench.load import LoadGenerator
from bench.mix import asks_of, failed_of, named, never_sent, part_of, together
from bench.model import (
    Load,
    Measurement,
    Running,
    Surroundings,
    Target,
    Trial,
    Verification,
    Workload,
)
from bench.observe.canary import spin
from bench.observe.observation import Observation
from bench.observe.sampler import snapshot
from bench.plan import PlannedTrial
from bench.processes.guardian import Guardian
from bench.runners import Runner
from bench.verify import plan_burst, verify, warm_up

WARM_UP_LIMIT = 0.5
"""Seconds; with the verification's burst before it, every server measured here has settled."""

Progress = Callable[[str, float], None]
"""Told of the phase in hand and how much of it is done, from 0 to 1."""


@dataclass(frozen=True)
class Bench:
    """What all trials of a run share."""

    runner: Runner
    generator: LoadGenerator
    guardian: Guardian
    workload: Workload
    folder: Path
    """The run's folder."""


@dataclass
class _Notes:
    """What is known of a trial so far; whatever happens, it becomes the record."""

    known: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began


def run_trial(bench: Bench, planned: PlannedTrial, progress: Progress) -> Trial:
    """Carry one trial out; what goes wrong with it becomes its `Trial.failure`.

    Raises:
        KeyboardInterrupt: after everything that the trial started has been stopped.

    """
    deployment = planned.deployment
    name = f"{planned.round:02d}-{deployment.name}"
    started = datetime.now(UTC).isoformat(timespec="seconds")
    notes = _Notes()
    with notes.phase("observe"):
        canary_before = spin()
    try:
        (bench.folder / name).mkdir()
        _carry_out(bench, planned, bench.folder / name, notes, progress)
    except BenchError as error:
        notes.known["failure"] = str(error)
    except OSError as error:
        notes.known["failure"] = f"{type(error).__name__}: {error}"
    with notes.phase("observe"):
        canary_after = spin()
    surroundings = notes.known.pop("surroundings", Surroundings())
    return Trial(
        deployment=deployment,
        round=planned.round,
        started=started,
        folder=name,
        load=planned.load,
        database_connections=bench.workload.connections(deployment),
        seconds=notes.seconds,
        commands=notes.known.pop("commands", {}),
        environment=notes.known.pop("environment", {}),
        surroundings=replace(surroundings, canary_before=canary_before, canary_after=canary_after),
        **notes.known,
    )


def _carry_out(
    bench: Bench,
    planned: PlannedTrial,
    folder: Path,
    notes: _Notes,
    progress: Progress,
) -> None:
    progress("start", 0.0)
    bringing_up = bench.runner.up(planned.deployment, bench.workload, folder)
    with notes.phase("start"):
        running = bringing_up.__enter__()
    try:
        notes.known |= {"commands": running.commands, "environment": running.environment}
        _measure(bench, planned, running, folder, notes, progress)
    finally:
        progress("stop", 0.0)
        with notes.phase("stop"):
            bringing_up.__exit__(None, None, None)


def _measure(
    bench: Bench,
    planned: PlannedTrial,
    running: Running,
    folder: Path,
    notes: _Notes,
    progress: Progress,
) -> None:
    workload, load = bench.workload, planned.load
    with notes.phase("observe"):
        idle = snapshot(running.target.roles)
    progress("verify", 0.0)
    with notes.phase("verify"):
        verifications = _verify(running.target, planned, workload)
        verification = notes.known["verification"] = together(verifications)
    progress("warm-up", 0.0)
    with notes.phase("warm-up"):
        for share, part in workload.parts():
            clients = part_of(share, load.concurrency)
            with named(part, workload):
                warm_up(running.target, part, concurrency=clients, limit=share * WARM_UP_LIMIT)
    with notes.phase("observe"):
        observation = Observation(running.target.roles, bench.guardian)
    with notes.phase("load"), observation:
        measurement = notes.known["measurement"] = bench.generator.run(
            asks_of(running.target, workload, verifications),
            load,
            folder=folder,
            timeout=answer_within(workload, load),
            guardian=observation,
            progress=lambda done: progress("load", done),
        )
    with notes.phase("observe"):
        notes.known["usage"] = observation.usage(idle)
        notes.known["surroundings"] = observation.surroundings()
        observation.write(folder / "samples.csv")
    learned = not (verification.bodies_vary or workload.mix)  # of a mix each has its own
    problem = invalid(measurement, verification.body_bytes if learned else None)
    if problem and len(workload.mix) > 1:
        problem += f" ({failed_of(workload, measurement)})"
    problem = problem or never_sent(workload, load, measurement)
    try:
        running.check()
    except TrialError as ended:
        raise TrialError("\n".join(filter(None, (problem, str(ended))))) from ended
    if problem:
        raise TrialError(problem)


def _verify(target: Target, planned: PlannedTrial, workload: Workload) -> tuple[Verification, ...]:
    """Verify each request of the workload with as many at once as the load will have of it."""
    at_once = expected_at_once(planned.deployment, workload)
    found = []
    for share, part in workload.parts():
        clients = part_of(share, planned.load.concurrency)
        burst = plan_burst(part, concurrency=clients, at_once=at_once)
        with named(part, workload):
            found.append(verify(target, part, burst))
    return tuple(found)


def answer_within(workload: Workload, load: Load) -> float:
    """Return the seconds after which a request without an answer counts as failed.

    ab's own default of 30 s, and as much as a full queue can take on top: a dev server without
    threads answers the last of its requests after all the others.
    """
    return 30.0 + (workload.delay or 0.0) * load.concurrency


def invalid(measurement: Measurement, body_bytes: int | None) -> str | None:
    """Return why a measurement must not be ranked; ``None``: every response was right.

    ``body_bytes``: the length that every body has to have; ``None``: they differ.
    """
    failures: Mapping[str, int] = {k: n for k, n in measurement.failures.items() if n}
    if failures:
        kinds = ", ".join(f"{count} {kind}" for kind, count in failures.items())
        reason = measurement.details.get("first_connect_error")
        told = f"; the first that could not connect: {reason}" if reason else ""
        return f"not every response was right, of {measurement.requests}: {kinds}{told}"
    if not measurement.requests:
        return "not one response came"
    if body_bytes is not None and measurement.body_bytes != body_bytes:
        return (
            f"the bodies had {measurement.body_bytes} bytes under load"
            f" and {body_bytes} when they were verified"
        )
    return None
