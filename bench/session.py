"""A whole run, from what the user asked for to the saved record."""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bench.catalog import load_catalog
from bench.errors import BenchError, UsageError
from bench.execute import Observer, execute
from bench.load import LoadGenerator, load_generator
from bench.machine import fingerprint
from bench.model import MASK, SECRET_HEADERS, Deployment, Request, Run, Workload
from bench.own_app.app import OwnApp, own_app_or_demo
from bench.plan import (
    LoadOverride,
    PlannedTrial,
    headers_of,
    load_of,
    placed,
    plan_trials,
    with_delay,
    with_own_path,
    with_request,
)
from bench.preflight import preflight
from bench.processes.guardian import Guardian
from bench.runners import RunnerOptions, make_runner, runner_names
from bench.services.nginx import nginx_version
from bench.services.postgres import mask_password
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
class RunRequest:
    """What the user asked for; ``None``: nothing in particular."""

    deployments: tuple[str, ...]
    """By name; none means all that suit the workload."""
    workload: str
    requests: int | None
    duration: float | None
    concurrency: int | None
    delay: float | None
    rounds: int
    seed: int | None
    workers: int | None
    threads: int | None
    async_cores: int | None
    runner: str
    generator: str
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
    port: int | None
    database_url: str | None
    url: str | None
    may_load_this_host: bool
    results: Path
    command: tuple[str, ...]
    """The call itself, for the record."""


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
    plan = plan_of(request, workload, chosen, seed)
    generator = load_generator(request.generator)
    for planned in plan:
        generator.check(planned.load)
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


def workload_of(request: RunRequest) -> Workload:
    """Return the workload that was asked for, with the user's delay or path."""
    workload = load_catalog().workload(request.workload)
    own = request.app is not None or request.app_dir is not None
    if request.url_path is not None or request.app is not None:
        workload = with_own_path(workload, request.url_path or "/")
    if request.delay is not None:
        workload = with_delay(workload, request.delay)
    if own:  # it calls what it calls: the slow API belongs to the demo
        workload = replace(workload, uses=tuple(s for s in workload.uses if s != "api"))
    return with_request(
        workload,
        request_of(request),
        expect_status=request.expect_status,
        expect_body=text_or_file("--expect-body", request.expect_body),
    )


def request_of(request: RunRequest) -> Request:
    """Return what is sent, as the user wants it."""
    body = text_or_file("--body", request.body)
    method = request.method or ("GET" if body is None else "POST")
    return Request(method.upper(), headers_of(request.headers), body)


def text_or_file(option: str, value: str | None) -> str | None:
    """Return the text itself, or that of the file that ``@file`` names.

    Raises:
        UsageError: there is no such file, or it holds no text.

    """
    if value is None or not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).expanduser().read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{option}: {value[1:]} cannot be read: {error}") from error


def plan_of(
    request: RunRequest, workload: Workload, chosen: tuple[Deployment, ...], seed: int
) -> tuple[PlannedTrial, ...]:
    """Return the trials to come, with the user's settings and load."""
    override = LoadOverride(request.requests, request.duration, request.concurrency)
    deployments = [
        deployment.with_settings(
            workers=request.workers, threads=request.threads, async_cores=request.async_cores
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


def without_secrets(command: Sequence[str]) -> tuple[str, ...]:
    """Return the call with the passwords and the secret headers in it masked."""
    header = re.compile(
        rf"((?:--header=)?({'|'.join(SECRET_HEADERS)})\s*:).*", re.IGNORECASE | re.DOTALL
    )
    return tuple(header.sub(rf"\1 {MASK}", mask_password(part)) for part in command)


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
    programs = {"ab": generator.version, "nginx": nginx_version()}
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
        workload=replace(workload, request=workload.request.without_secrets()),
        seed=seed,
        rounds=rounds,
        planned=tuple((p.round, p.deployment.name) for p in plan),
        machine=fingerprint(ROOT, {name: v for name, v in programs.items() if v}),
        skipped=dict(skipped or {}),
    )
