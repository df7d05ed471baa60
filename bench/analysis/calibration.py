"""What the comparison itself can see: how often it errs, and how small an effect it finds.

One long interleaved run holds the same deployment under two names, and once more for each known
handicap. Comparisons are drawn from it in two ways:

- *blocks* of consecutive rounds, each round used once: what so many separate calls of the
  comparison would have said;
- *drawn*: hundreds of subsets of rounds without repetition, which share rounds, but whose mean is
  without bias and far less noisy (a U-statistic; Hoeffding 1948).

Pure: a run in, tables out.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bench.analysis.metrics import METRICS, Metric
from bench.analysis.stats import RatioEstimate, chance_to_see, ratio, smallest_visible_effect
from bench.errors import UsageError
from bench.model import Run

BASE = "same"
TWIN = "same-again"
"""The same deployment as `BASE`: whatever differs between them is noise."""
CALIBRATED = ("rps", "cpu")
"""The metrics that the handicap changes by a known part."""
PROMISES: Mapping[float, float] = {0.10: 0.90, 0.05: 0.70}
"""Handicap → part of the comparisons that have to find it."""
MOST_FALSE = 1 / 20
"""Part of the comparisons of a thing with itself that may call it different."""
ROUNDS = (3, 5, 8, 10, 15, 20, 30, 40, 60, 80, 100, 150, 200)
"""Rounds per comparison that the table shows, as far as the run reaches."""
MOST_ROUNDS = 10_000
DRAWS = 400
SEED = 20130620
"""Any fixed number: the same run always gives the same table."""

Pairs = tuple[tuple[float, float], ...]
"""(base, other) of each round, in order."""


@dataclass(frozen=True)
class Tally:
    """So many of so many comparisons."""

    hits: int
    of: int

    @property
    def share(self) -> float | None:
        """The part; ``None`` without any comparison."""
        return self.hits / self.of if self.of else None


@dataclass(frozen=True)
class Sight:
    """What comparisons of one number of rounds say."""

    blocks: Tally
    drawn: float
    """Part of the drawn comparisons."""


@dataclass(frozen=True)
class Line:
    """All that is known of comparisons over so many rounds."""

    rounds: int
    false: Sight
    """Called different although it is the same."""
    found: Mapping[float, Sight | None]
    """Handicap → called different, and in the right direction; ``None``: too few rounds."""
    apart: Tally
    """As `false`, but of two runs one after the other: base of one block, twin of the next."""
    visible: float
    """The smallest effect seen four times out of five, by calculation from the noise."""

    @property
    def keeps_promises(self) -> bool:
        """Whether it errs seldom enough, and finds what it has to."""
        if self.false.drawn > MOST_FALSE:
            return False
        return all(
            (sight := self.found[handicap]) is not None and sight.drawn >= share
            for handicap, share in PROMISES.items()
            if handicap in self.found
        )


@dataclass(frozen=True)
class MetricCalibration:
    """One metric's table."""

    metric: Metric
    noise: float
    """Standard deviation of the logarithm of twin ÷ base of one round."""
    effects: Mapping[float, RatioEstimate]
    """Handicap → what it truly did, over all rounds; 0 is the twin."""
    lines: tuple[Line, ...]
    needed: int | None
    """The fewest rounds of the table that keep the promises; ``None``: none does."""
    calculated: Mapping[float, int | None]
    """Handicap → rounds in which its promise is kept, by calculation from the noise."""


@dataclass(frozen=True)
class Calibration:
    """What a calibration run says, metric by metric."""

    rounds: int
    metrics: tuple[MetricCalibration, ...]


def subject_name(handicap: float) -> str:
    """Return the name under which a handicap, as a part of the CPU cost, is run."""
    return f"cpu+{handicap * 100:g}"


def handicap_of(name: str) -> float | None:
    """Return the handicap that a name stands for; ``None``: another name."""
    found = re.fullmatch(r"cpu\+([\d.]+)", name)
    return round(float(found[1]) / 100, 9) if found else None


def calibration_of(run: Run) -> Calibration:
    """Return the tables of a calibration run.

    Raises:
        UsageError: it is none, or has fewer than three rounds.

    """
    metrics = tuple(_of_metric(run, METRICS[name]) for name in CALIBRATED)
    return Calibration(run.rounds, metrics)


def _of_metric(run: Run, metric: Metric) -> MetricCalibration:
    twin = pairs_of(run, metric, TWIN)
    handicaps = sorted({h for t in run.trials if (h := handicap_of(t.deployment.name))})
    others = {h: pairs for h in handicaps if (pairs := pairs_of(run, metric, subject_name(h)))}
    whole = _ratio(twin) if len(twin) >= ROUNDS[0] else None
    if whole is None:
        raise UsageError(
            f"{run.id} has no {ROUNDS[0]} valid rounds of {BASE} and {TWIN}: it is no calibration,"
            " or it was cut short"
        )
    noise = whole.error * math.sqrt(len(twin))
    lines = tuple(
        _line(metric, twin, others, noise, rounds) for rounds in ROUNDS if _enough(twin, rounds)
    )
    effects = {0.0: whole} | {h: e for h, pairs in others.items() if (e := _ratio(pairs))}
    return MetricCalibration(
        metric=metric,
        noise=noise,
        effects=effects,
        lines=lines,
        needed=next((line.rounds for line in lines if line.keeps_promises), None),
        calculated={h: rounds_for(h, noise, power) for h, power in PROMISES.items()},
    )


def pairs_of(run: Run, metric: Metric, other: str) -> Pairs:
    """Return base and other of every round in which both are valid."""
    by_round: dict[int, dict[str, float]] = {}
    for trial in run.trials:
        if trial.valid and (value := metric.figure(trial)) and value > 0:
            by_round.setdefault(trial.round, {})[trial.deployment.name] = value
    return tuple(
        (figures[BASE], figures[other])
        for _, figures in sorted(by_round.items())
        if BASE in figures and other in figures
    )


def rounds_for(effect: float, noise: float, power: float) -> int | None:
    """Return the fewest rounds that show an effect with this power; ``None``: too many.

    The noncentral t distribution, as in `stats.chance_to_see`.
    """
    shift = math.log1p(effect)
    low, high = 2, MOST_ROUNDS
    while low < high:
        rounds = (low + high) // 2
        if noise == 0 or chance_to_see(shift * math.sqrt(rounds) / noise, rounds - 1) >= power:
            high = rounds
        else:
            low = rounds + 1
    return low if low < MOST_ROUNDS else None


def _line(
    metric: Metric, twin: Pairs, others: Mapping[float, Pairs], noise: float, rounds: int
) -> Line:
    direction = -1 if metric.more_is_better else 1
    return Line(
        rounds=rounds,
        false=_sight(twin, rounds, 0),
        found={
            handicap: _sight(pairs, rounds, direction) if _enough(pairs, rounds) else None
            for handicap, pairs in others.items()
        },
        apart=_apart(twin, rounds),
        visible=smallest_visible_effect(noise / math.sqrt(rounds), rounds - 1),
    )


def _enough(pairs: Pairs, rounds: int) -> bool:
    """Say whether two comparisons can be made: subsets of nearly all rounds would hardly differ."""
    return len(pairs) >= max(2 * rounds, ROUNDS[0])


def _sight(pairs: Pairs, rounds: int, direction: int) -> Sight:
    blocks = _blocks(pairs, rounds)
    hits = sum(_called(_ratio(block), direction) for block in blocks)
    generator = np.random.default_rng(SEED)
    drawn = 0
    for _ in range(DRAWS):
        chosen = generator.choice(len(pairs), rounds, replace=False)
        drawn += _called(_ratio([pairs[index] for index in chosen]), direction)
    return Sight(Tally(hits, len(blocks)), drawn / DRAWS)


def _apart(twin: Pairs, rounds: int) -> Tally:
    """Compare each block with the next, unpaired: as two runs at two times are."""
    blocks = _blocks(twin, rounds)
    hits = 0
    for one, other in pairwise(blocks):
        base, new = [base for base, _ in one], [again for _, again in other]
        hits += _called(ratio(base, new, paired=False), 0)
    return Tally(hits, max(0, len(blocks) - 1))


def _blocks(pairs: Pairs, rounds: int) -> list[Pairs]:
    return [pairs[at : at + rounds] for at in range(0, len(pairs) - rounds + 1, rounds)]


def _ratio(pairs: Sequence[tuple[float, float]]) -> RatioEstimate | None:
    return ratio([base for base, _ in pairs], [other for _, other in pairs], paired=True)


def _called(estimate: RatioEstimate | None, direction: int) -> bool:
    """Say whether it is called different, in this direction unless that is 0."""
    if estimate is None or not estimate.different:
        return False
    return direction == 0 or (estimate.value > 1) == (direction > 0)
