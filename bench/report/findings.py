"""What a run says, in a sentence or two: no more than its figures can carry."""

from collections.abc import Iterable, Iterator, Sequence

from bench.analysis.bottleneck import verdict
from bench.analysis.bottleneck.queues import AT_CEILING
from bench.analysis.ceiling import SAME_CEILING
from bench.analysis.stats import Interval, ratio
from bench.analysis.summary import Row
from bench.model import Run, Trial
from bench.report import figures

TELLS_APART = "busy"
"""The workload without any waiting, in which a request costs what the server makes it cost."""


def headline(run: Run, rows: Sequence[Row]) -> str:
    """Return what the run found."""
    valid = [row for row in rows if row.valid_trials]
    if not valid:
        return "No deployment gave a valid result, so there is nothing to rank."
    if len(valid) == 1:
        name, rate = valid[0].deployment.name, figures.rate(valid[0].requests_per_second)
        return f"{name} answered {rate} requests per second."
    ranked = [row for row in valid if row.rank is not None]
    if len(ranked) < 2:  # noqa: PLR2004 - one alone is ahead of nobody
        return _without_uncertainty(valid)
    return _with_uncertainty(run, ranked)


def caveats(run: Run, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return what one has to know before one believes the headline."""
    valid = [row for row in rows if row.valid_trials]
    found = [at_ceiling(run, valid)]
    once = [row for row in valid if row.valid_trials == 1]
    if once and len(once) == len(valid):
        found.append("1 round: no uncertainty known. ROUNDS=5 would tell chance from difference.")
    elif once:
        found.append(f"One valid round only, and so no rank: {_names(once)}.")
    loads = list(dict.fromkeys(row.load for row in valid))
    if len(loads) > 1:
        most = max(loads, key=lambda load: sum(row.load == load for row in valid))
        others = _names(row for row in valid if row.load != most)
        found.append(f"Not all had the same load: {others} had another one.")
    invalid = [row for row in rows if not row.valid_trials]
    if invalid:
        found.append(f"Without a valid result: {_names(invalid)}.")
    doubtful = sum(_doubted(trial, run) for trial in run.trials)
    if doubtful:
        found.append(
            f"There are doubts about {doubtful} of {len(run.trials)} trials, such as noise of the"
            " machine: the verdicts below say which."
        )
    missing = len(run.planned) - len(run.trials)
    if missing:
        how = "interrupted" if run.status == "interrupted" else "cut short"
        found.append(f"The run was {how}: {missing} of {len(run.planned)} trials are missing.")
    return tuple(filter(None, found))


def _doubted(trial: Trial, run: Run) -> bool:
    found = verdict(trial, run.workload, run.machine.cores)
    return found is not None and bool(found.warnings)


def _without_uncertainty(valid: Sequence[Row]) -> str:
    first, second = sorted(valid, key=lambda row: -(row.requests_per_second or 0.0))[:2]
    times = figures.ratio(first.requests_per_second, second.requests_per_second)
    return (
        f"{first.deployment.name} answered most, {figures.rate(first.requests_per_second)} requests"
        f" per second: {times} {second.deployment.name}."
    )


def _with_uncertainty(run: Run, valid: Sequence[Row]) -> str:
    """Speak of the best by its median among those that nothing is surely better than."""
    best = next((row for row in valid if row.rank == 1), valid[0])
    ties = best.places.ties if best.places else ()
    tied = [row for row in valid if row is best or row.deployment.name in ties]
    behind = next((row for row in valid if row not in tied), None)
    name = best.deployment.name
    if behind is None:
        # alike in every pair, or only each of them with the best: that is not the same
        if all(row.rank == 1 for row in valid):
            return f"{_names(valid)} can't be told apart by these {run.rounds} rounds."
        return f"Nothing can be told apart from {name} by these {run.rounds} rounds."
    between = _ratio(run, behind, best)
    other = behind.deployment.name
    ahead = f"{_span(between)} {other}" if between else f"ahead of {other}"
    if len(tied) == 1:
        return f"{name} is fastest: {ahead}."
    others = _names(row for row in tied if row is not best)
    return f"{name} is {ahead}; {others} can't be told apart from it."


def _ratio(run: Run, base: Row, new: Row) -> Interval | None:
    """Return how many times the base the new one is, over the rounds in which both are valid."""
    rates = {
        name: {
            t.round: t.measurement.requests_per_second
            for t in run.trials
            if t.deployment.name == name and t.valid and t.measurement
        }
        for name in (base.deployment.name, new.deployment.name)
    }
    before, after = rates.values()
    rounds = sorted(before.keys() & after.keys())
    found = ratio([before[r] for r in rounds], [after[r] for r in rounds], paired=True)
    return found.interval if found and found.different else None


def _span(between: Interval) -> str:
    return f"{between.low:.2f}–{between.high:.2f}×"


def at_ceiling(run: Run, valid: Sequence[Row]) -> str:
    """Say that the workload sets the figures, if it does that for more than one of them."""
    advice = f"; use WORKLOAD={TELLS_APART}" if run.workload.name != TELLS_APART else ""
    return " ".join(_set_by_workload(rows, valid, advice) for rows in _under_one_ceiling(valid))


def _under_one_ceiling(valid: Sequence[Row]) -> Iterator[list[Row]]:
    """Yield those at a ceiling that is not their own slots', together where it is the same one."""
    groups: list[tuple[float, list[Row]]] = []
    for row in valid:
        if (row.of_ceiling or 0.0) < AT_CEILING or not row.ceiling:
            continue
        if row.ceiling.bound_by == "slots":
            continue
        limit = row.ceiling.requests_per_second
        for other, rows in groups:
            if rows[0].load == row.load and abs(limit / other - 1) <= SAME_CEILING:
                rows.append(row)
                break
        else:
            groups.append((limit, [row]))
    yield from (rows for _, rows in groups)


def _set_by_workload(rows: Sequence[Row], valid: Sequence[Row], advice: str) -> str:
    if len(rows) == 1:
        return (
            f"{_names(rows)} reached {AT_CEILING:.0%} or more of what arithmetic allows: its figure"
            f" says something about the workload, not about the server{advice}."
        )
    which = "these servers" if len(rows) == len(valid) else _names(rows)
    return (
        f"This workload does not tell {which} apart: they reached {AT_CEILING:.0%} or more of what"
        f" arithmetic allows{advice}."
    )


def _names(rows: Iterable[Row]) -> str:
    names = [row.deployment.name for row in rows]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
