"""One trial: up → load until it is steady → the event → load again → down → count."""

import random
import time
from dataclasses import dataclass, replace
from pathlib import Path

from bench.drain import count, events
from bench.drain.client import Orders
from bench.drain.load import RunningLoad, running_load, sleep_until
from bench.drain.model import DrainTrial, Happened, Seen
from bench.drain.ways import Way
from bench.errors import BenchError, TrialError
from bench.model import Deployment, Target, Workload
from bench.processes.guardian import Guardian
from bench.runners import Runner

ANSWER_WITHIN = 30.0
"""Seconds on top of a request's own delay."""
AFTERWARDS = 1.0
"""Seconds on top of a request's own delay for which the load goes on after the event."""
WAVE = 1.0
"""Seconds within which the moment of the event lies where a request has no delay of its own."""


@dataclass(frozen=True)
class PlannedDrain:
    """One trial to come."""

    round: int
    deployment: Deployment
    """As it was chosen."""
    event: str
    way: Way


@dataclass(frozen=True)
class DrainBench:
    """What all trials share."""

    runner: Runner
    guardian: Guardian
    workload: Workload
    folder: Path
    concurrency: int
    keep_alive: bool
    seed: int


def run_drain_trial(bench: DrainBench, planned: PlannedDrain) -> DrainTrial:
    """Carry one trial out; what goes wrong with it becomes its `DrainTrial.failure`.

    Raises:
        KeyboardInterrupt: after everything that the trial started has been stopped.

    """
    trial = DrainTrial(planned.deployment.name, planned.event, planned.round, planned.way.text)
    folder = bench.folder / f"{planned.deployment.name}-{planned.event}-{planned.round}"
    try:
        folder.mkdir()
        return _carry_out(bench, planned, folder, trial)
    except BenchError as error:
        return replace(trial, failure=str(error))
    except OSError as error:
        return replace(trial, failure=f"{type(error).__name__}: {error}")


def _carry_out(
    bench: DrainBench, planned: PlannedDrain, folder: Path, trial: DrainTrial
) -> DrainTrial:
    deployment = planned.way.applied_to(planned.deployment)
    with bench.runner.up(deployment, bench.workload, folder) as running:
        with running_load(_orders(bench, running.target), folder, bench.guardian) as load:
            happened = _happen(bench, planned, running.target, load)
            # one more wave: who is lost in it is lost by the event, too
            afterwards = time.monotonic() + (bench.workload.delay or 0.0) + AFTERWARDS
            sleep_until(afterwards)
            seen = load.end()
        if happened.still_up:
            running.check()
    if happened.still_up:
        return told(trial, seen, happened, until=afterwards)
    return told(trial, seen, happened, until=happened.ended)


def _happen(
    bench: DrainBench, planned: PlannedDrain, target: Target, load: RunningLoad
) -> Happened:
    """Bring the event about, at a moment of the load's waves that differs from round to round."""
    if planned.event == "recycle":
        return events.recycle(target)
    # the same moments for every deployment
    chooser = random.Random(f"{bench.seed} {planned.round} {planned.event}")  # noqa: S311
    load.wait_until_steady()
    sleep_until(time.monotonic() + (bench.workload.delay or WAVE) * (1 + chooser.random()))
    if planned.event == "stop":
        return events.stop(target, planned.way)
    if planned.event == "reload":
        return events.reload(target, planned.way)
    return events.kill(target, chooser)


def _orders(bench: DrainBench, target: Target) -> Orders:
    workload = bench.workload
    request = workload.request
    return Orders(
        host=target.host,
        port=target.port,
        path=workload.url_path(),
        concurrency=bench.concurrency,
        keep_alive=bench.keep_alive,
        answer_within=ANSWER_WITHIN + (workload.delay or 0.0),
        status=workload.status,
        body=workload.body,
        request={
            "method": request.method,
            "headers": dict(request.headers),
            "body": request.body,
        },
    )


def told(trial: DrainTrial, seen: Seen, happened: Happened, *, until: float) -> DrainTrial:
    """Return the trial with what was seen in it, of the requests that began ``until`` then.

    Raises:
        TrialError: requests failed before anything had happened, so nothing is told by others.

    """
    if early := count.failed_before(seen.exchanges, happened.began):
        raise TrialError(
            f"a request failed before the event began ({early.fate}: {early.detail}):"
            " the deployment does not bear this load"
        )
    requests = count.concerned(seen.exchanges, happened.began, until)
    return replace(
        trial,
        counts=count.counted(requests),
        in_flight=count.in_flight(seen.exchanges, happened.began) or None,
        own=happened.own,
        seconds=happened.ended - happened.began,
        slowest=count.slowest(requests),
        readiness=count.readiness(seen.probes, happened.began, until),
        examples=count.examples(requests),
    )
