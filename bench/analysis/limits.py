"""What a deployment can do at most under a workload: slots, connections and the ceiling."""

from bench.analysis.ceiling import Ceiling, ceiling
from bench.model import Deployment, Load, Workload


def ceiling_of(deployment: Deployment, load: Load, workload: Workload) -> Ceiling | None:
    """Return the most that arithmetic allows; ``None`` where nothing waits."""
    return ceiling(
        load,
        delay=workload.delay,
        slots=deployment.slots,
        database_share=workload.database_share,
        connections=usable_connections(deployment, workload),
        lone_requests=load.lone_requests,
    )


def usable_connections(deployment: Deployment, workload: Workload) -> int | None:
    """Return how many database connections can be busy together; ``None``: none in use.

    A process that blocks in the driver uses one at a time, however many it may open.
    """
    connections = workload.connections(deployment)
    if connections is not None and "database" in deployment.blocks_in:
        return min(connections, deployment.processes)
    return connections


def expected_at_once(deployment: Deployment, workload: Workload) -> int | None:
    """Return how many requests can be in service together; ``None``: no bound."""
    bounds = (deployment.slots, usable_connections(deployment, workload))
    return min((bound for bound in bounds if bound is not None), default=None)
