"""Before a run that is going to mislead: what is wrong with machine or plan, and the remedy.

Every rule is pure, over `Facts`, and stands in a list. None of them stops a run. They are about
deployments that run on this machine (the runner ``local``).
"""

from collections.abc import Sequence

from bench.machine.moment import Moment, read_moment
from bench.model import Machine, Workload
from bench.plan import PlannedTrial
from bench.preflight import capacity, meaning, surroundings
from bench.preflight.facts import Facts, Rule

__all__ = ["RULES", "Facts", "preflight"]

RULES: tuple[Rule, ...] = (*surroundings.RULES, *capacity.RULES, *meaning.RULES)
"""The machine first, then its limits, then the plan."""


def preflight(
    machine: Machine,
    plan: Sequence[PlannedTrial],
    workload: Workload,
    moment: Moment | None = None,
) -> tuple[str, ...]:
    """Return the warnings for a run, each with what to do.

    Args:
        machine: as `bench.machine.fingerprint` describes it.
        plan: the trials to come.
        workload: what they are loaded with.
        moment: how things stand; by default looked up now, which takes 0.16 s.

    """
    if not plan:
        return ()
    facts = Facts(machine, plan, workload, moment or read_moment())
    return tuple(found for rule in RULES if (found := rule(facts)))
