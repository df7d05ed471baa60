"""Before a run that is going to mislead: what is wrong with machine or plan, and the remedy.

Every rule is pure, over `Facts`, and stands in a list. None of them stops a run. Each looks at the
trials that it concerns: containers have limits of their own, and what runs elsewhere is not seen.
"""

from collections.abc import Sequence
from dataclasses import replace

from bench.machine.moment import Moment, read_moment
from bench.model import Machine, Workload
from bench.plan import PlannedTrial
from bench.preflight import capacity, meaning, surroundings
from bench.preflight.facts import Facts, Rule

__all__ = ["RULES", "Facts", "preflight"]

RULES: tuple[Rule, ...] = (*surroundings.RULES, *capacity.RULES, *meaning.RULES)
"""The machine first, then its limits, then the plan."""
HERE = frozenset({surroundings.memory, capacity.cores})
"""Rules about what the servers take of this machine."""
UNDER_ITS_LIMITS = frozenset({capacity.listen_queue, capacity.descriptors})
"""Rules about limits that containers do not share."""


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
    found = (rule(concerned) for rule in RULES if (concerned := _concerned(facts, rule)).plan)
    return tuple(filter(None, found))


def _concerned(facts: Facts, rule: Rule) -> Facts:
    runners = {"local"} if rule in UNDER_ITS_LIMITS else {"local", "compose"}
    if rule not in HERE | UNDER_ITS_LIMITS:
        return facts
    return replace(facts, plan=[p for p in facts.plan if p.deployment.runner in runners])
