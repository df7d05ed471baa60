"""What a run is going to do: deployments × rounds, each round in a random order of its own."""

import math
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from bench.analysis.limits import ceiling_of
from bench.errors import UsageError
from bench.model import OWN, Deployment, Load, MixedRequest, Request, Workload
from bench.request_input import check_path, check_request

OVERHEAD = 2.5
"""Seconds that a trial takes beside its load, for the estimate."""
UNKNOWN_RATE = 1000.0
"""Requests per second to estimate with where arithmetic sets no limit."""
LONGEST_DELAY = 30.0
"""Seconds; `MAX_DELAY` of flask_app/app.py and slow_api/server.py, which refuse more."""


@dataclass(frozen=True)
class PlannedTrial:
    """One trial to come."""

    round: int
    """Counted from 1."""
    deployment: Deployment
    load: Load


@dataclass(frozen=True)
class LoadOverride:
    """What the user asks for instead of the workload's own load."""

    requests: int | None = None
    duration: float | None = None
    concurrency: int | None = None

    def __post_init__(self) -> None:
        if self.requests is not None and self.duration is not None:
            raise UsageError("give REQUESTS or DURATION, not both: each says when a load ends")

    def apply(self, load: Load) -> Load:
        """Return the load with what the user gave in the place of what it had."""
        concurrency = self.concurrency or load.concurrency
        if self.requests is not None:
            return Load(concurrency, requests=self.requests)
        if self.duration is not None:
            return Load(concurrency, duration=self.duration)
        return replace(load, concurrency=concurrency)


def load_of(
    deployment: Deployment, workload: Workload, override: LoadOverride, *, named: bool
) -> Load:
    """Return the load that a deployment gets.

    Args:
        deployment: one that the workload may give a load of its own, because the common one
            would take hours.
        workload: has the loads.
        override: the user's.
        named: the user asked for this very deployment, and not for all. Otherwise its own load
            is not raised, only lowered.

    """
    own = workload.load_for.get(deployment.base_name)
    if own is None:
        return override.apply(workload.load)
    asked = override.apply(own)
    if named:
        return asked
    concurrency = min(own.concurrency, asked.concurrency)
    if own.requests is not None:
        return Load(concurrency, requests=min(own.requests, asked.requests or own.requests))
    return Load(concurrency, duration=min(own.duration or 0, asked.duration or math.inf))


def with_delay(workload: Workload, delay: float) -> Workload:
    """Return the workload with another delay.

    Raises:
        UsageError: it takes none, or the delay is out of range.

    """
    if workload.delay is None:
        raise UsageError(f"the workload {workload.name} takes no delay; leave DELAY out")
    if not 0 <= delay <= LONGEST_DELAY:
        raise UsageError(f"DELAY is {delay:g}; allowed are 0 to {LONGEST_DELAY:g} seconds")
    return replace(workload, delay=delay)


def with_own_path(workload: Workload, path: str) -> Workload:
    """Return the workload with a path of the user's: nothing is known of its delay and its body.

    Raises:
        UsageError: it is no path.

    """
    check_path(path, "URL_PATH")
    return replace(
        workload,
        name=OWN,
        purpose="a request of your own",
        path=path,
        delay=None,
        body=None,
        database_share=0.0,
    )


def with_scenario(workload: Workload, mix: Sequence[MixedRequest]) -> Workload:
    """Return the workload with several requests of the user's."""
    first = mix[0]
    return replace(
        with_own_path(workload, first.path),
        purpose=f"{len(mix)} requests of your own",
        request=first.request,
        status=first.status,
        body=first.body,
        bodies_vary=first.bodies_vary,
        mix=tuple(mix),
    )


def with_request(
    workload: Workload,
    request: Request,
    *,
    expect_status: int | None = None,
    expect_body: str | None = None,
) -> Workload:
    """Return the workload with a request of the user's, and what he says is right for it.

    Raises:
        UsageError: no request can look like that, or its answers could not be told from failures.

    """
    check_request(request, expect_status)
    if expect_body is not None:
        workload = replace(workload, body=expect_body)
    return replace(workload, request=request, status=expect_status)


def placed(deployments: Sequence[Deployment], runners: Sequence[str]) -> tuple[Deployment, ...]:
    """Return each deployment once for each runner.

    Those of every runner but the first have it in their names: ``gevent-uwsgi@compose``.
    """
    return tuple(
        replace(
            deployment,
            runner=runner,
            name=deployment.name if runner == runners[0] else f"{deployment.name}@{runner}",
            copy=_files_to_copy(deployment, runner),
        )
        for runner in runners
        for deployment in deployments
    )


def _files_to_copy(deployment: Deployment, runner: str) -> tuple[str, ...]:
    if runner != "compose":
        return deployment.copy
    own = ("compose/services.yml", f"compose/{deployment.name}.yml", "flask_app/Dockerfile")
    return (*own, *deployment.copy)


def plan_trials(
    deployments: Sequence[Deployment],
    load_for: Callable[[Deployment], Load],
    *,
    rounds: int,
    seed: int,
) -> tuple[PlannedTrial, ...]:
    """Order the trials of a run; the same seed gives the same order.

    Interleaving the deployments and shuffling within each round keeps a drift of the machine
    (heat, neighbours, caches) from always meeting the same deployment.
    """
    shuffler = random.Random(seed)  # noqa: S311 - an order to repeat, not a secret
    return tuple(
        PlannedTrial(number, deployment, load_for(deployment))
        for number in range(1, rounds + 1)
        for deployment in shuffler.sample(deployments, len(deployments))
    )


def estimated_seconds(trials: Collection[PlannedTrial], workload: Workload) -> float:
    """Estimate the wall time of trials from their loads and from what arithmetic allows."""
    return sum(OVERHEAD + _load_seconds(trial, workload) for trial in trials)


def _load_seconds(trial: PlannedTrial, workload: Workload) -> float:
    if trial.load.duration is not None:
        return trial.load.duration
    limit = ceiling_of(trial.deployment, trial.load, workload)
    rate = limit.requests_per_second if limit else UNKNOWN_RATE
    return (trial.load.requests or 0) / rate
