"""All that the rules of the preflight look at."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.analysis.ceiling import Ceiling
from bench.analysis.limits import ceiling_of
from bench.machine.moment import Moment
from bench.model import Deployment, Machine, Workload
from bench.plan import PlannedTrial

REACHABLE = 500.0
"""Requests per second that one worker does at no delay with the dearest client (measured: one
gunicorn gevent worker, `requests.get`). A ceiling up to that is within everybody's reach."""


@dataclass(frozen=True)
class Facts:
    """All that the rules look at."""

    machine: Machine
    plan: Sequence[PlannedTrial]
    """At least one trial."""
    workload: Workload
    moment: Moment

    @property
    def concurrency(self) -> int:
        """The most requests at once."""
        return max(planned.load.concurrency for planned in self.plan)

    @property
    def cores(self) -> float:
        """What can be used of the machine."""
        return self.machine.usable_cores or self.machine.cores

    def first_round(self) -> Iterable[PlannedTrial]:
        """Return each deployment once."""
        return {planned.deployment.name: planned for planned in self.plan}.values()

    def which(self, condition: Callable[[PlannedTrial], bool]) -> list[Deployment]:
        """Return the deployments whose trials meet a condition, by name."""
        found = [each.deployment for each in self.first_round() if condition(each)]
        return sorted(found, key=lambda deployment: deployment.name)

    def ceiling(self, planned: PlannedTrial) -> Ceiling | None:
        """Return the most that arithmetic allows a trial."""
        return ceiling_of(planned.deployment, planned.load, self.workload)


Rule = Callable[[Facts], str | None]
"""Returns a warning with its remedy, or nothing to warn of."""


def names(deployments: Sequence[Deployment], most: int = 3) -> str:
    """Return the names, the first few of many."""
    shown = [deployment.name for deployment in deployments[:most]]
    rest = len(deployments) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")
