"""What limited a trial: every rule in one list, each with its threshold's origin."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.analysis.limits import ceiling_of
from bench.model import Trial, Workload

AT_CEILING = 0.90
"""From this part of the ceiling on, the workload and not the server sets the figure."""
CLIENT_BUSY = 0.80
"""Part of one core: above it the single-threaded ab is the bottleneck (measured, docs)."""
SERVER_BUSY = 0.85
"""Part of the cores that the server's processes can use at all."""


@dataclass(frozen=True)
class Verdict:
    """What limited a trial, and how one sees it."""

    limit: str
    evidence: str
    by_arithmetic: bool = False
    """The ceiling was reached: the workload sets the figure, not the server."""


@dataclass(frozen=True)
class Seen:
    """Everything that a rule looks at."""

    trial: Trial
    workload: Workload
    cores: int


Rule = Callable[[Seen], Verdict | None]


def verdict(trial: Trial, workload: Workload, cores: int) -> Verdict | None:
    """Return what limited a valid trial; ``None``: nothing that these rules know of.

    Args:
        trial: one whose `valid` holds; others have no verdict.
        workload: what it was loaded with.
        cores: of the machine.

    """
    if not trial.valid:
        return None
    seen = Seen(trial, workload, cores)
    return next((found for rule in RULES if (found := rule(seen))), None)


def _blocking(seen: Seen) -> Verdict | None:
    proof = seen.trial.verification
    if proof is None or proof.served_at_once is None:
        return None
    deployment = seen.trial.deployment
    could = min(deployment.slots or proof.requests, proof.requests)
    connections = seen.workload.connections(deployment)
    if connections is not None:
        could = min(could, connections)
    if could < 2 * deployment.processes or proof.served_at_once > deployment.processes:
        return None
    culprit = "the database driver" if "database" in deployment.blocks_in else "something"
    return Verdict(
        "blocking",
        f"{culprit} blocks the whole process: {could} requests could have been in service"
        f" together, {proof.served_at_once} were seen",
    )


def _ceiling(seen: Seen) -> Verdict | None:
    limit = ceiling_of(seen.trial.deployment, seen.trial.load, seen.workload)
    if limit is None or seen.trial.measurement is None:
        return None
    share = seen.trial.measurement.requests_per_second / limit.requests_per_second
    if share < AT_CEILING:
        return None
    name = "ceiling" if limit.bound_by == "concurrency" else limit.bound_by
    return Verdict(name, f"{share:.0%} of what arithmetic allows: {limit.explanation}", True)


def _client(seen: Seen) -> Verdict | None:
    measurement = seen.trial.measurement
    if measurement is None or measurement.client_cpu_seconds is None:
        return None
    share = measurement.client_cpu_seconds / measurement.seconds
    if share < CLIENT_BUSY:
        return None
    return Verdict(
        "client", f"the load generator itself used {share:.0%} of a core: this measures it"
    )


def _server_cpu(seen: Seen) -> Verdict | None:
    measurement = seen.trial.measurement
    server = seen.trial.usage.get("server")
    if measurement is None or server is None:
        return None
    usable = min(seen.trial.deployment.processes, seen.cores)
    share = server.cpu_seconds / measurement.seconds / usable
    if share < SERVER_BUSY:
        return None
    return Verdict("server CPU", f"its processes used {share:.0%} of {usable} core(s)")


def _machine_cpu(seen: Seen) -> Verdict | None:
    measurement = seen.trial.measurement
    if measurement is None:
        return None
    spent = sum(role.cpu_seconds for role in seen.trial.usage.values())
    spent += measurement.client_cpu_seconds or 0.0
    share = spent / measurement.seconds / seen.cores
    if share < SERVER_BUSY:
        return None
    server = seen.trial.usage.get("server")
    own = server.cpu_seconds / spent if server else 0.0
    return Verdict(
        "machine CPU",
        f"all roles together used {share:.0%} of {seen.cores} cores, the server {own:.0%} of that",
    )


RULES: tuple[Rule, ...] = (_blocking, _ceiling, _client, _server_cpu, _machine_cpu)
"""The first that applies is the verdict: nearest to the cause first."""
