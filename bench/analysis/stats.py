"""What samples say and how sure that is: intervals, ratios, and the least effect they could show.

The sample is the trial, never the request (Georges, Buytaert & Eeckhout 2007, "Statistically
rigorous Java performance evaluation"): requests of one start of a server are not independent.
Figures are compared as ratios on the logarithmic scale, where 10% faster and 10% slower are alike
and the noise of a rate, which is a part of it, is the same for fast and slow servers.

Plain numbers in, plain numbers out; every formula names its source.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import gammaincinv, ndtr, stdtr, stdtrit

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
"""Of an interval that is shown beside one figure."""
DECISION_CONFIDENCE = 0.99
"""Of a single decision that two things differ. Not 0.95: twenty comparisons of a thing with itself
would then call two or more different in one case of four; now they do in one of sixty."""
POWER = 0.80
"""Chance with which the smallest visible effect would have been seen (Cohen 1988, section 2.4)."""
TRIM = 0.10
"""Part of the sample, at either end, that a disturbed trial may spoil. From ten values on; with
fewer nothing is trimmed, because the degrees of freedom are worth more."""
RESAMPLES = 4999
"""Bootstrap samples; their own error is well below the last digit that is shown."""
SEED = 20130620
"""Any fixed number: the same figures always give the same interval."""
FEWEST_FOR_BOOTSTRAP = 5
"""Below, even the whole range of the values holds the median less than 93% of the time."""
FEWEST = 2
"""Values that tell something of their spread."""
LARGEST = 700.0
"""Logarithm near the largest number: two wild rounds know no bounds, and infinity is no figure."""


@dataclass(frozen=True)
class Interval:
    """A range that holds the true figure with this confidence, in the figure's own unit."""

    low: float
    high: float
    confidence: float

    def excludes(self, value: float) -> bool:
        """Say whether the value is outside."""
        return not self.low <= value <= self.high

    def within(self, low: float, high: float) -> bool:
        """Say whether all of it lies between these bounds."""
        return low <= self.low and self.high <= high

    def inverse(self) -> "Interval":
        """Return the interval of 1 ÷ the figure."""
        return Interval(1 / self.high, 1 / self.low, self.confidence)


@dataclass(frozen=True)
class RatioEstimate:
    """How many times the base the new figure is, and how sure that is."""

    value: float
    interval: Interval
    p_value: float
    """Chance of a ratio at least this far from 1 if there is no difference; two-sided."""
    error: float
    """Standard error of the ratio's logarithm …"""
    freedom: float
    """… and its degrees of freedom."""
    samples: int
    """Values of the smaller side, or pairs."""
    paired: bool

    @property
    def different(self) -> bool:
        """Whether the interval excludes 1."""
        return self.interval.excludes(1.0)

    @property
    def smallest_visible(self) -> float:
        """An effect of this size, as a part of 1, would have been seen with `POWER`."""
        return smallest_visible_effect(self.error, self.freedom, self.interval.confidence)


def interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """Return the interval of the median; ``None`` for one value, or one that is not above zero.

    The percentile bootstrap, expanded for small samples: its two quantiles are taken at
    ``Φ(±√(n/(n−1)) · t)`` and not at ``(1 ∓ confidence)/2`` (Hesterberg 2015, "What teachers
    should know about the bootstrap", section 4.4; Efron & Tibshirani 1993, chapter 13, for the
    percentile interval itself). Unexpanded, it held the median in 87% of simulated samples of
    seven, and BCa did no better: the median's jackknife, which BCa rests on, is not consistent.

    Samples below `FEWEST_FOR_BOOTSTRAP` get Student's interval of the logarithms' mean, which
    is wide there and should be. `tests/unit/analysis/test_stats.py` simulates the coverage.
    """
    logs = _logs(values)
    if logs is None:
        return None
    if len(logs) < FEWEST_FOR_BOOTSTRAP:
        centre = _centre(logs)
        reach = _quantile(centre.freedom, confidence) * centre.error
        return _around(centre.mean, reach, confidence)
    # Sorted, so that the order of the values changes nothing.
    ordered = np.sort(np.asarray(values, dtype=float))
    count = len(ordered)
    chosen = np.random.default_rng(SEED).integers(0, count, (RESAMPLES, count))
    medians = np.median(ordered[chosen], axis=1)
    tail = float(ndtr(-np.sqrt(count / (count - 1)) * _quantile(count - 1, confidence)))
    # Rounded outwards, to medians that occurred.
    low = np.quantile(medians, tail, method="lower")
    high = np.quantile(medians, 1 - tail, method="higher")
    return Interval(float(low), float(high), confidence)


def ratio(
    base: Sequence[float],
    new: Sequence[float],
    *,
    paired: bool,
    confidence: float = DECISION_CONFIDENCE,
) -> RatioEstimate | None:
    """Return new ÷ base with its interval; ``None`` if the figures cannot tell.

    That is with fewer than two values on a side, or one that is not above zero.

    Paired: the geometric mean of the ratios round by round (Fleming & Wallace 1986) with Student's
    interval of their logarithms. Unpaired: the ratio of the geometric means with Welch's interval
    (Welch 1947). From ten values on, 10% are trimmed at either end, with the error from the
    winsorized variance (Tukey & McLaughlin 1963 for one sample, Yuen 1974 for two).

    Kalibera & Jones 2013 ("Rigorous benchmarking in reasonable time", section 7) ask for an
    interval of the ratio rather than a test, and bootstrap or Fieller's theorem for it; on logs
    Student's t gives the same without their need for many samples. In a comparison of a thing
    with itself the paired differences are symmetric, whatever the noise, so that t errs on the
    careful side.

    Args:
        base: figures of at least two trials, all above zero.
        new: as many, in the same order of rounds, if they are paired.
        paired: whether values of the same place were measured one after the other.
        confidence: of the interval.

    """
    before, after = _logs(base), _logs(new)
    if before is None or after is None:
        return None
    if paired:
        if len(before) != len(after):
            raise ValueError(f"{len(before)} and {len(after)} values cannot be paired")
        difference = _centre(after - before)
    else:
        difference = _welch(_centre(before), _centre(after))
    reach = _quantile(difference.freedom, confidence) * difference.error
    return RatioEstimate(
        value=math.exp(difference.mean),
        interval=_around(difference.mean, reach, confidence),
        p_value=_p_value(difference),
        error=difference.error,
        freedom=difference.freedom,
        samples=min(len(before), len(after)),
        paired=paired,
    )


def smallest_visible_effect(
    error: float,
    freedom: float,
    confidence: float = DECISION_CONFIDENCE,
    power: float = POWER,
) -> float:
    """Return the least effect, as a part of 1, that is called different with this chance.

    From the noncentral t distribution, solved for the effect (Cohen 1988, chapter 2).

    Args:
        error: standard error of the logarithm of a ratio.
        freedom: its degrees of freedom.
        confidence: of the interval that decides.
        power: the chance.

    """
    if error == 0:
        return 0.0

    def lacking(distance: float) -> float:
        return chance_to_see(distance, freedom, confidence) - power

    furthest = 10.0 + 5.0 * _quantile(freedom, confidence)
    return math.expm1(min(LARGEST, brentq(lacking, 0.0, furthest, xtol=1e-6) * error))


def chance_to_see(
    distance: float, freedom: float, confidence: float = DECISION_CONFIDENCE
) -> float:
    """Return the chance that an effect so many standard errors away from none is called different.

    The noncentral t distribution (Johnson & Welch 1940), as the mean of the normal one over the
    quantiles of the estimated error: SciPy's own is not a number far out, where one degree of
    freedom needs it.
    """
    estimated = np.sqrt(2 * gammaincinv(freedom / 2, _EVENLY) / freedom)
    bound = _quantile(freedom, confidence) * estimated
    return float(np.mean(ndtr(abs(distance) - bound) + ndtr(-abs(distance) - bound)))


_EVENLY: Floats = (np.arange(1000) + 0.5) / 1000
"""Probabilities from 0 to 1."""


@dataclass(frozen=True)
class _Centre:
    """Mean of logarithms, its standard error, and the degrees of freedom of that."""

    mean: float
    error: float
    freedom: float


def _centre(logs: Floats) -> _Centre:
    """Return the trimmed mean; Tukey & McLaughlin 1963, Yuen 1974."""
    count = len(logs)
    cut = int(TRIM * count)
    kept = count - 2 * cut
    ordered = np.sort(logs)
    winsorized = np.clip(ordered, ordered[cut], ordered[count - cut - 1])
    variance = winsorized.var(ddof=1) * (count - 1) / (kept * (kept - 1))
    return _Centre(float(ordered[cut : count - cut].mean()), float(np.sqrt(variance)), kept - 1)


def _welch(base: _Centre, new: _Centre) -> _Centre:
    """Return the difference of two means; Welch 1947 for its degrees of freedom."""
    one, two = base.error**2, new.error**2
    if one + two == 0:
        return _Centre(new.mean - base.mean, 0.0, base.freedom + new.freedom)
    freedom = (one + two) ** 2 / (one**2 / base.freedom + two**2 / new.freedom)
    return _Centre(new.mean - base.mean, float(np.sqrt(one + two)), freedom)


def _around(mean: float, reach: float, confidence: float) -> Interval:
    """Return the interval of what has these logarithms."""
    low, high = max(-LARGEST, mean - reach), min(LARGEST, mean + reach)
    return Interval(math.exp(low), math.exp(high), confidence)


def _p_value(difference: _Centre) -> float:
    if difference.error == 0:
        return 1.0 if difference.mean == 0 else 0.0
    return float(2 * stdtr(difference.freedom, -abs(difference.mean) / difference.error))


def _quantile(freedom: float, confidence: float) -> float:
    """Return Student's two-sided quantile."""
    return float(stdtrit(freedom, (1 + confidence) / 2))


def _logs(values: Sequence[float] | NDArray[Any]) -> Floats | None:
    numbers = np.asarray(values, dtype=float)
    if len(numbers) < FEWEST or not np.all(np.isfinite(numbers) & (numbers > 0)):
        return None
    logs: Floats = np.log(numbers)
    return logs
