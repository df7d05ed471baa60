"""What limited a trial: every rule in one list, each with its threshold's origin and a remedy."""

from collections.abc import Callable
from dataclasses import replace

from bench.analysis.bottleneck.costs import (
    bursts,
    client,
    cpu_quota,
    database_cpu,
    machine_cpu,
    memory,
    proxy_cpu,
    server_cpu,
    upstream_cpu,
)
from bench.analysis.bottleneck.doubts import doubts
from bench.analysis.bottleneck.queues import (
    AT_CEILING,
    accept_queue,
    blocking,
    database_connections,
    own_pauses,
    reached_ceiling,
    uneven_workers,
    upstream_queue,
    waiting,
)
from bench.analysis.bottleneck.seen import Seen, Verdict
from bench.analysis.bottleneck.unknown import unknown
from bench.model import Trial, Workload

__all__ = ["AT_CEILING", "RULES", "Verdict", "verdict"]

Rule = Callable[[Seen], Verdict | None]

RULES: tuple[Rule, ...] = (
    blocking,
    reached_ceiling,
    accept_queue,
    upstream_queue,
    memory,
    cpu_quota,
    client,
    upstream_cpu,
    proxy_cpu,
    server_cpu,
    database_cpu,
    machine_cpu,
    database_connections,
    uneven_workers,
    waiting,
    own_pauses,
    bursts,
)
"""The first that applies is the verdict: what explains everything first, then what stops requests
before they are served, then what is used up, then what is badly shared."""


def verdict(trial: Trial, workload: Workload, cores: int) -> Verdict | None:
    """Return what limited a trial, with its evidence; ``None``: it is invalid.

    Args:
        trial: only one whose `valid` holds has a verdict, and each of those has one.
        workload: what it was loaded with.
        cores: of the machine.

    """
    if not trial.valid or trial.measurement is None:
        return None
    seen = Seen(trial, trial.measurement, workload, cores)
    found = next((found for rule in RULES if (found := rule(seen))), None) or unknown(seen)
    return replace(found, warnings=doubts(seen, found))
