"""A whole run, from what the user asked for to the saved record."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bench.catalog import load_catalog
from bench.errors import BenchError, UsageError
from bench.execute import Observer, execute
from bench.load import (
    FOR_ONE_REQUEST,
    FOR_SEVERAL_REQUESTS,
    LoadGenerator,
    load_generator,
)
from bench.machine import fingerprint
from bench.model import Deployment, Load, Run, Workload
from bench.own_app.app import OwnApp, own_app_or_demo
from bench.plan import (
    LoadOverride,
    PlannedTrial,
    load_of,
    placed,
    plan_trials,
)
from bench.preflight import preflight
from bench.processes.guardian import Guardian
from bench.run_request import RunRequest, without_secrets, workload_of
from bench.runners import RunnerOptions, make_runner, runner_names
from bench.services.nginx import nginx_version
from bench.store import SCHEMA, discarded_unless_saved, new_run_folder
from bench.trial import Bench

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: the files that people copy are started from here."""
EXTERNAL = Deployment(
    name="external",
    title="already up, unknown to the catalog",
    server="unknown",
    command=(),
    copy=(),
    slots_without_bound=True,
)
"""What is measured at a URL where the user does not say which deployment it is."""


@dataclass(frozen=True)
class Outcome:
    """A run that has ended, and where it is."""

    run: Run
    folder: Path
    unsaved: BenchError | None
    """Why its last state could not be written; ``None``: it was."""


Warn = Callable[[str], None]
"""Is told, before the first trial, what is going to make a run misleading."""
Watch = Callable[[tuple[PlannedTrial, ...], Workload], AbstractContextManager[Observer]]
"""Opens what watches a run, given its plan."""


def carry_out(request: RunRequest, watch: Watch, warn: Warn = lambda _: None) -> Outcome:
    """Do what was asked for.

    Raises:
        BenchError: the request cannot be carried out at all; nothing was started then.

    """
    workload = workload_of(request)
    runners = runner_names(request.runner)
    chosen = placed(_chosen(request, workload, runners), runners)
    seed = random.randrange(2**32) if request.seed is None else request.seed  # noqa: S311
    generator = generator_of(request, workload)
    plan = tuple(
        replace(p, load=replace(p.load, lone_requests=generator.lone_requests))
        for p in plan_of(request, workload, chosen, seed)
    )
    for planned in plan:
        generator.check(planned.load)
        check_all_come(workload, planned.load)
    folder = new_run_folder(request.results, workload.name)
    with discarded_unless_saved(folder), Guardian() as guardian:
        options = _runner_options(request, workload, plan, folder, guardian)
        with make_runner(runners, options) as runner:
            skipped = runner.left_out(chosen)
            plan = tuple(p for p in plan if p.deployment.name not in skipped)
            record = new_record(
                plan,
                workload,
                generator,
                folder=folder,
                command=request.command,
                runner=",".join(runners),
                app=options.app.spec,
                seed=seed,
                rounds=request.rounds,
                skipped=skipped,
            )
            record = replace(record, notes=preflight(record.machine, plan, workload))
            for note in record.notes:
                warn(note)
            bench = Bench(runner, generator, guardian, workload, folder)
            with watch(plan, workload) as observer:
                run, unsaved = execute(record, plan, bench, folder, observer)
            return Outcome(run, folder, unsaved)


def _chosen(
    request: RunRequest, workload: Workload, runners: tuple[str, ...]
) -> tuple[Deployment, ...]:
    """Return the deployments that were asked for, one at most where something is up already."""
    external = "external" in runners
    if external != (request.url is not None):
        raise UsageError(
            "RUNNER=external measures what is up already, and URL=http://127.0.0.1:8000 says where"
            " that is: give both or neither"
        )
    if external and not request.deployments:
        return (EXTERNAL,)
    if external and len(request.deployments) > 1:
        raise UsageError(
            "one URL is one deployment: name the one that runs there, or none if the catalog does"
            " not have it"
        )
    return load_catalog().chosen(request.deployments, workload)


def generator_of(request: RunRequest, workload: Workload) -> LoadGenerator:
    """Return the load generator that was asked for, or the one that suits.

    Raises:
        UsageError: there is none of this name, or it cannot send several requests.

    """
    suits = FOR_SEVERAL_REQUESTS if workload.mix else FOR_ONE_REQUEST
    generator = load_generator(request.generator or suits)
    if workload.mix and not generator.several_requests:
        raise UsageError(
            f"{request.generator} sends one kind of request: leave LOAD out, or set"
            f" LOAD={FOR_SEVERAL_REQUESTS}"
        )
    return generator


def check_all_come(workload: Workload, load: Load) -> None:
    """Refuse a load in which a request of the scenario has no place.

    Raises:
        UsageError: there are too few requests for its share.

    """
    for share, request in workload.shares():
        if load.requests is not None and share * load.requests < 1:
            raise UsageError(
                f"REQUESTS={load.requests} is too few for the scenario: {request.text()} is"
                f" {share:.2g} of all. Send {math.ceil(1 / share)} or more, or set DURATION"
            )


def plan_of(
    request: RunRequest, workload: Workload, chosen: tuple[Deployment, ...], seed: int
) -> tuple[PlannedTrial, ...]:
    """Return the trials to come, with the user's settings and load."""
    override = LoadOverride(request.requests, request.duration, request.concurrency)
    deployments = [
        deployment.with_settings(
            workers=request.workers,
            threads=request.threads,
            async_cores=request.async_cores,
            backlog=request.backlog,
        )
        for deployment in chosen
    ]
    plan = plan_trials(
        deployments,
        lambda deployment: load_of(deployment, workload, override, named=bool(request.deployments)),
        rounds=request.rounds,
        seed=seed,
    )
    for planned in plan:
        load = planned.load
        if load.requests is not None and load.requests < load.concurrency:
            raise UsageError(
                f"REQUESTS is {load.requests} and CONCURRENCY {load.concurrency}:"
                " there have to be at least as many requests as are under way at once"
            )
    return plan


def _runner_options(
    request: RunRequest,
    workload: Workload,
    plan: tuple[PlannedTrial, ...],
    folder: Path,
    guardian: Guardian,
) -> RunnerOptions:
    return RunnerOptions(
        root=ROOT,
        folder=folder.resolve(),
        guardian=guardian,
        app=_app_of(request),
        port=request.port,
        database_connections=max(workload.connections(p.deployment) or 0 for p in plan),
        database_url=request.database_url,
        url=request.url,
        may_load_this_host=request.may_load_this_host,
    )


def _app_of(request: RunRequest) -> OwnApp:
    return own_app_or_demo(
        ROOT,
        request.app,
        folder=request.app_dir,
        python=request.python,
        env_file=request.env_file,
    )


def new_record(
    plan: Sequence[PlannedTrial],
    workload: Workload,
    generator: LoadGenerator,
    *,
    folder: Path,
    command: Sequence[str],
    runner: str,
    app: str,
    seed: int,
    rounds: int,
    skipped: Mapping[str, str] | None = None,
) -> Run:
    """Return the record of a run whose trials are still to come."""
    programs = {generator.version.partition(" ")[0]: generator.version, "nginx": nginx_version()}
    return Run(
        schema=SCHEMA,
        id=folder.name,
        status="running",
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        finished=None,
        command=without_secrets(command),
        runner=runner,
        generator=generator.version,
        app=app,
        workload=workload.without_secrets(),
        seed=seed,
        rounds=rounds,
        planned=tuple((p.round, p.deployment.name) for p in plan),
        machine=fingerprint(ROOT, {name: v for name, v in programs.items() if v}),
        skipped=dict(skipped or {}),
    )
