"""All trials of one call, from what the user asked for to what came out of it."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench.catalog import load_catalog
from bench.drain.model import EVENTS, DrainRun, DrainTrial
from bench.drain.trial import DrainBench, PlannedDrain, run_drain_trial
from bench.drain.ways import Way, check, suits, way_of
from bench.errors import UsageError
from bench.load.open_files import check_open_files, room_for
from bench.machine import fingerprint
from bench.model import Deployment, Machine, Workload
from bench.own_app.app import OwnApp, own_app_or_demo
from bench.plan import with_delay, with_own_path
from bench.processes.guardian import Guardian
from bench.run_request import requested, without_secrets
from bench.runners import RunnerOptions
from bench.runners.local import LocalRunner
from bench.services.nginx import nginx_version

ROOT = Path(__file__).resolve().parents[2]
WORKLOAD = "api"
SERVERS = ("gunicorn", "gevent", "uwsgi", "pyuwsgi", "nginx")
"""What has a say in the results, and is told with its version."""


@dataclass(frozen=True)
class DrainRequest:
    """What the user asked for; ``None``: nothing in particular."""

    deployments: tuple[str, ...]
    """By name; none: all that are made for production."""
    events: tuple[str, ...]
    """In any order; none: all."""
    concurrency: int
    delay: float | None
    rounds: int
    seed: int | None
    workers: int | None
    keep_alive: bool
    plain: bool
    """Signals alone, no socket is held."""
    app: str | None
    app_dir: Path | None
    python: Path | None
    env_file: Path | None
    url_path: str | None
    method: str | None
    headers: tuple[str, ...]
    """``Name: value`` lines."""
    body: str | None
    """Text, or ``@file`` with it."""
    expect_status: int | None
    expect_body: str | None
    """Text, or ``@file`` with it."""
    command: tuple[str, ...]
    """The call itself, for the record."""


Begins = Callable[[int, int, PlannedDrain], None]
"""Is told which trial begins: its index from 0, how many there are, and the trial."""
Ended = Callable[[DrainTrial], None]


def carry_out(request: DrainRequest, begins: Begins, ended: Ended) -> DrainRun:
    """Do what was asked for.

    Raises:
        BenchError: it cannot be carried out at all; nothing was started then.

    """
    workload = workload_of(request)
    chosen = chosen_of(request, workload)
    check_open_files(request.concurrency)
    seed = random.randrange(2**32) if request.seed is None else request.seed  # noqa: S311
    ways, skipped = ways_of(request, chosen)
    run = DrainRun(
        command=without_secrets(request.command),
        machine=_machine_text(),
        path=workload.request_text(),
        concurrency=request.concurrency,
        keep_alive=request.keep_alive,
        rounds=request.rounds,
        seed=seed,
    )
    with Guardian() as guardian, guardian.temporary_directory() as folder:
        options = RunnerOptions(ROOT, folder, guardian, _app_of(request))
        with LocalRunner(options) as runner, room_for(request.concurrency):
            served = {d.name: replace(d, copy=_copied(d, ways)) for d in chosen}
            left_out = runner.left_out(tuple(served.values()))
            skipped |= left_out
            plan = planned(
                {(d, e): w for (d, e), w in ways.items() if d not in left_out},
                served,
                rounds=request.rounds,
                seed=seed,
            )
            bench = DrainBench(
                runner, guardian, workload, folder, request.concurrency, request.keep_alive, seed
            )
            return _execute(replace(run, skipped=skipped), plan, bench, begins, ended)


def _execute(
    run: DrainRun,
    plan: tuple[PlannedDrain, ...],
    bench: DrainBench,
    begins: Begins,
    ended: Ended,
) -> DrainRun:
    try:
        for index, each in enumerate(plan):
            begins(index, len(plan), each)
            trial = run_drain_trial(bench, each)
            run = replace(run, trials=(*run.trials, trial))
            ended(trial)
    except KeyboardInterrupt:
        return replace(run, interrupted=True)
    return run


def workload_of(request: DrainRequest) -> Workload:
    """Return what a request does.

    Raises:
        UsageError: no request can be like that, or it takes no delay and one is given.

    """
    workload = load_catalog().workload(WORKLOAD)
    if request.url_path is not None or request.app is not None:
        workload = with_own_path(workload, request.url_path or "/")
    if request.delay is not None:
        workload = with_delay(workload, request.delay)
    if request.app is not None or request.app_dir is not None:
        workload = replace(workload, uses=())  # the slow API belongs to the demo
    return requested(workload, request)


def chosen_of(request: DrainRequest, workload: Workload) -> tuple[Deployment, ...]:
    """Return the deployments that were asked for, or all that are made for production.

    Raises:
        UsageError: one is unknown, or nobody knows how it is stopped.

    """
    catalog = load_catalog()
    chosen = catalog.chosen(request.deployments, workload)
    if request.deployments:
        for deployment in chosen:
            check(deployment)
    return tuple(d.with_settings(workers=request.workers) for d in chosen if suits(d))


def ways_of(
    request: DrainRequest, chosen: tuple[Deployment, ...]
) -> tuple[dict[tuple[str, str], Way], dict[str, str]]:
    """Return how each event is brought about at each deployment, and where it cannot be.

    Raises:
        UsageError: there is no such event.

    """
    for event in request.events:
        if event not in EVENTS:
            raise UsageError(f"no event is called {event!r}. Known: {', '.join(EVENTS)}")
    ways, skipped = {}, {}
    for deployment in chosen:
        for event in (event for event in EVENTS if event in (request.events or EVENTS)):
            way = way_of(deployment, event, request.concurrency, plain=request.plain)
            if isinstance(way, Way):
                ways[deployment.name, event] = way
            else:
                skipped[f"{deployment.name}: {event}"] = way
    return ways, skipped


def planned(
    ways: Mapping[tuple[str, str], Way],
    deployments: Mapping[str, Deployment],
    *,
    rounds: int,
    seed: int,
) -> tuple[PlannedDrain, ...]:
    """Return the trials to come: each round in a random order of its own, repeated by its seed."""
    shuffler = random.Random(seed)  # noqa: S311 - an order to repeat, not a secret
    return tuple(
        PlannedDrain(number, deployments[name], event, ways[name, event])
        for number in range(1, rounds + 1)
        for name, event in shuffler.sample(list(ways), len(ways))
    )


def _copied(deployment: Deployment, ways: Mapping[tuple[str, str], Way]) -> tuple[str, ...]:
    """Return the files that one of its ways needs."""
    own = (way for (name, _), way in ways.items() if name == deployment.name)
    files = (file for way in own for file in way.applied_to(deployment).copy)
    return tuple(dict.fromkeys((*deployment.copy, *files)))


def _app_of(request: DrainRequest) -> OwnApp:
    return own_app_or_demo(
        ROOT,
        request.app,
        folder=request.app_dir,
        python=request.python,
        env_file=request.env_file,
    )


def _machine_text() -> str:
    nginx = nginx_version()
    machine: Machine = fingerprint(ROOT, {"nginx": nginx} if nginx else {})
    versions = (f"{n} {machine.versions[n]}" for n in SERVERS if n in machine.versions)
    return (
        f"{machine.cores} × {machine.cpu}, {machine.system}, Linux {machine.kernel},"
        f" Python {machine.python}, {', '.join(versions)}"
    )
