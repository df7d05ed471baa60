"""Whether the plan can answer the question at all."""

from bench.analysis.ceiling import SAME_CEILING
from bench.preflight.facts import REACHABLE, Facts, Rule, names


def _indistinguishable(facts: Facts) -> str | None:
    ceilings = {}
    for planned in facts.first_round():
        limit = facts.ceiling(planned)
        if limit and limit.bound_by != "slots" and limit.requests_per_second < REACHABLE:
            ceilings[planned.deployment.name] = limit
    if not ceilings:
        return None
    top = max(limit.requests_per_second for limit in ceilings.values())
    alike = facts.which(
        lambda planned: (
            planned.deployment.name in ceilings
            and ceilings[planned.deployment.name].requests_per_second >= top * (1 - SAME_CEILING)
        )
    )
    if len(alike) < 2:  # noqa: PLR2004 - one cannot be confused
        return None
    return (
        f"at a delay of {facts.workload.delay:g} s and {facts.concurrency} at once arithmetic"
        f" allows {top:.0f} req/s, whatever the server: this workload does not tell"
        f" {names(alike)} apart. WORKLOAD=busy does."
    )


def _rounds(facts: Facts) -> str | None:
    if len({planned.round for planned in facts.plan}) > 1:
        return None
    return "1 round: no uncertainty known, so no difference can be called one. Use ROUNDS=5."


RULES: tuple[Rule, ...] = (_indistinguishable, _rounds)
