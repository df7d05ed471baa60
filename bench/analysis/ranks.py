"""Ranks that say no more than the samples: what cannot be told apart shares one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from bench.analysis.stats import RatioEstimate, ratio

FAMILY_ERROR = 0.05
"""Chance that any two of all that are alike are told apart."""


@dataclass(frozen=True)
class Rank:
    """The places that a deployment can have in the ranking."""

    best: int
    """One more than there are others that are surely better: the rank that is shown."""
    worst: int
    """As many as there are, less those that are surely worse."""
    ties: tuple[str, ...]
    """Those that it cannot be told apart from."""


def tie_groups(
    samples: Mapping[str, Mapping[int, float]], *, family_error: float = FAMILY_ERROR
) -> dict[str, Rank]:
    """Return the ranks by figures of which more is better.

    Every two are compared by `ratio`, paired by round, and Holm's procedure (Holm 1979) keeps the
    chance of any false difference among all pairs below ``family_error``. From these differences
    come the sets of ranks of Mogstad, Romano, Shaikh & Wilhelm 2024 ("Inference for ranks with
    applications to mobility across neighbourhoods"): their bounds are the ones of `Rank`.

    "Cannot be told apart" is not transitive: with noisy B between A and C, A can be better than C
    though neither differs from B. B then shares a place with both, ``ties`` names them, and no
    grouping has to be invented.

    Args:
        samples: name → round → figure. Pairs with fewer than two rounds in common are a tie.
        family_error: as above.

    """
    pairs = list(combinations(samples, 2))
    estimates = [_estimate(samples[one], samples[other]) for one, other in pairs]
    told_apart = holm([e.p_value if e else 1.0 for e in estimates], family_error)
    better: dict[str, set[str]] = {name: set() for name in samples}
    worse: dict[str, set[str]] = {name: set() for name in samples}
    for (one, other), estimate, apart in zip(pairs, estimates, told_apart, strict=True):
        if apart and estimate:
            winner, loser = (other, one) if estimate.value > 1 else (one, other)
            better[loser].add(winner)
            worse[winner].add(loser)
    return {
        name: Rank(
            best=1 + len(better[name]),
            worst=len(samples) - len(worse[name]),
            ties=tuple(n for n in samples if n not in better[name] | worse[name] | {name}),
        )
        for name in samples
    }


def holm(p_values: Sequence[float], error: float) -> list[bool]:
    """Return which hypotheses are rejected (Holm 1979, "A simple sequentially rejective …").

    The chance of one false rejection or more is at most ``error``, however the tests depend on
    each other.
    """
    rejected = [False] * len(p_values)
    in_order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    for place, index in enumerate(in_order):
        if p_values[index] > error / (len(p_values) - place):
            break
        rejected[index] = True
    return rejected


def _estimate(one: Mapping[int, float], other: Mapping[int, float]) -> RatioEstimate | None:
    rounds = sorted(one.keys() & other.keys())
    return ratio([one[r] for r in rounds], [other[r] for r in rounds], paired=True)
