"""Response times by percentile: of each deployment, over its valid trials."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from bench.model import Latency, Run

NAMES = ("p50", "p90", "p99", "p99.9", "max")


@dataclass(frozen=True)
class Percentiles:
    """The response times of one deployment in seconds, by their names; unknown ones are absent."""

    deployment: str
    seconds: Mapping[str, float]


def percentiles_of(run: Run, deployment: str) -> Percentiles:
    """Return the median of each percentile over the valid trials, and the slowest of them all.

    A percentile that one of them does not know is left out: medians over different trials could
    not be compared, and p99.9 could come out below p99.
    """
    seen = [
        _named(t.measurement.latency)
        for t in run.trials
        if t.deployment.name == deployment and t.valid and t.measurement and t.measurement.latency
    ]
    values = {name: [times[name] for times in seen if name in times] for name in NAMES}
    return Percentiles(
        deployment,
        {
            n: max(v) if n == "max" else median(v)
            for n, v in values.items()
            if v and len(v) == len(seen)
        },
    )


def _named(latency: Latency) -> dict[str, float]:
    known = (latency.p50, latency.p90, latency.p99, latency.p999, latency.max)
    times = dict(zip(NAMES, known, strict=True))
    return {name: time for name, time in times.items() if time is not None}
