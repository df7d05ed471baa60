"""A run as one row per deployment: medians over its valid trials, and what explains them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from bench.analysis.bottleneck import Verdict, verdict
from bench.analysis.ceiling import Ceiling
from bench.analysis.limits import ceiling_of
from bench.analysis.metrics import cpu_per_request, latency, memory, own, rate
from bench.analysis.ranks import Rank, tie_groups
from bench.analysis.stats import Interval, interval
from bench.model import Deployment, Load, Run, Trial


@dataclass(frozen=True)
class Row:
    """One deployment of a run. Figures are medians over its valid trials; ``None``: none is."""

    deployment: Deployment
    load: Load
    trials: int
    valid_trials: int
    requests_per_second: float | None
    ceiling: Ceiling | None
    p50: float | None
    p99: float | None
    slowest: float | None
    """The slowest response of all valid trials."""
    failed: int | None
    """Failed, wrong and missing responses of all trials, where the load was run at all."""
    cpu_per_request: float | None
    """CPU seconds of server and nginx."""
    memory_bytes: float | None
    threads_before: float | None
    threads_during: float | None
    served_at_once: int | None
    overhead: float | None
    """Seconds per trial beside the load."""
    verdict: Verdict | None
    failures: tuple[str, ...]
    """Why trials are invalid, each reason once."""
    interval: Interval | None = None
    """Of the requests per second; ``None`` with fewer than two valid trials: nothing is known."""
    places: Rank | None = None
    """Its places in the ranking by requests per second; ``None`` as for the interval."""

    @property
    def rank(self) -> int | None:
        """The place that is shown: what cannot be told apart from the best shares its place."""
        return self.places.best if self.places else None

    @property
    def of_ceiling(self) -> float | None:
        """The part of the ceiling that was reached."""
        if self.ceiling is None or self.requests_per_second is None:
            return None
        return self.requests_per_second / self.ceiling.requests_per_second


def summarise(run: Run) -> tuple[Row, ...]:
    """Return a row per deployment: by rank, then fastest first; those without a result last."""
    names = dict.fromkeys(trial.deployment.name for trial in run.trials)
    rows = [_row(run, [t for t in run.trials if t.deployment.name == name]) for name in names]
    return tuple(sorted(_ranked(run, rows), key=_fastest_first))


def _fastest_first(row: Row) -> tuple[bool, bool, int, float]:
    return (
        row.requests_per_second is None,
        row.rank is None,  # one valid round only: it may be anywhere
        row.rank or 0,
        -(row.requests_per_second or 0.0),
    )


def _ranked(run: Run, rows: Iterable[Row]) -> list[Row]:
    """Give those a rank of which more than one round is valid; others say nothing of noise."""
    by_round: dict[str, dict[int, float]] = {}
    for trial in run.trials:
        if trial.valid and (figure := rate(trial)):
            by_round.setdefault(trial.deployment.name, {})[trial.round] = figure
    ranks = tie_groups({name: rounds for name, rounds in by_round.items() if len(rounds) > 1})
    return [replace(row, places=ranks.get(row.deployment.name)) for row in rows]


def _row(run: Run, trials: Sequence[Trial]) -> Row:
    valid = [trial for trial in trials if trial.valid]
    last = trials[-1]
    middle = _median_trial(valid)
    return Row(
        deployment=last.deployment,
        load=last.load,
        trials=len(trials),
        valid_trials=len(valid),
        requests_per_second=_median(valid, rate),
        ceiling=ceiling_of(last.deployment, last.load, run.workload),
        p50=_median(valid, lambda t: times.p50 if (times := latency(t)) else None),
        p99=_median(valid, lambda t: times.p99 if (times := latency(t)) else None),
        slowest=max((found.max for t in valid if (found := latency(t))), default=None),
        failed=_failed(trials),
        cpu_per_request=_median(valid, cpu_per_request),
        memory_bytes=_median(valid, memory),
        threads_before=_median(valid, lambda t: own(t, "threads_before")),
        threads_during=_median(valid, lambda t: own(t, "threads_during")),
        served_at_once=min(
            (
                t.verification.served_at_once
                for t in trials
                if t.verification and t.verification.served_at_once is not None
            ),
            default=None,
        ),
        overhead=_median(trials, lambda t: t.overhead),
        verdict=verdict(middle, run.workload, run.machine.cores) if middle else None,
        failures=tuple(dict.fromkeys(t.failure for t in trials if t.failure)),
        interval=interval([figure for t in valid if (figure := rate(t)) is not None]),
    )


def _failed(trials: Iterable[Trial]) -> int | None:
    loaded = [t.measurement for t in trials if t.measurement]
    return sum(m.failed for m in loaded) if loaded else None


def _median(trials: Iterable[Trial], figure: Callable[[Trial], float | None]) -> float | None:
    values = [value for trial in trials if (value := figure(trial)) is not None]
    return median(values) if values else None


def _median_trial(trials: Sequence[Trial]) -> Trial | None:
    """Return the trial in the middle of the ranking by rate: its verdict stands for all."""
    ranked = sorted(trials, key=lambda t: rate(t) or 0.0)
    return ranked[len(ranked) // 2] if ranked else None
