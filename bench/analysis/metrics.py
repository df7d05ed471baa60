"""The figures of a trial that can be shown and compared, by name.

Needs nothing but the model, so that the command line can name them without loading SciPy.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from bench.errors import UsageError
from bench.model import Latency, Trial

OWN_ROLES = ("server", "nginx")
"""The roles that are the deployment itself, and not what it is tested with."""
DEFAULT_THRESHOLD = 0.05
"""A twentieth: about the least that trials on an ordinary machine can show (calibration)."""
MILLISECOND = 0.001


def rate(trial: Trial) -> float | None:
    """Return the requests per second."""
    return trial.measurement.requests_per_second if trial.measurement else None


def cpu_per_request(trial: Trial) -> float | None:
    """Return the CPU seconds that the deployment spent per request."""
    spent = own(trial, "cpu_seconds")
    if spent is None or trial.measurement is None or not trial.measurement.requests:
        return None
    return spent / trial.measurement.requests


def memory(trial: Trial) -> float | None:
    """Return the bytes of memory that the deployment held at its peak."""
    return own(trial, "memory_bytes")


def own(trial: Trial, figure: str) -> float | None:
    """Add a figure up over the roles that are the deployment itself."""
    values = [getattr(trial.usage[role], figure) for role in OWN_ROLES if role in trial.usage]
    if not values or None in values:
        return None
    return float(sum(values))


def latency(trial: Trial) -> Latency | None:
    """Return the response times."""
    return trial.measurement.latency if trial.measurement else None


@dataclass(frozen=True)
class Metric:
    """A figure of a trial that can be compared."""

    name: str
    title: str
    figure: Callable[[Trial], float | None]
    more_is_better: bool = False
    depends_on_speed: bool = True
    """Whether a faster machine changes it."""
    ab_step: float = 0.0
    """The step in which ab measures it."""

    def step(self, trials: Iterable[Trial]) -> float:
        """Return the largest step in which any of the trials measured it; others know it better."""
        by_ab = any(t.measurement and t.measurement.generator.startswith("ab ") for t in trials)
        return self.ab_step if by_ab else 0.0


def _p50(trial: Trial) -> float | None:
    return times.p50 if (times := latency(trial)) else None


def _p99(trial: Trial) -> float | None:
    return times.p99 if (times := latency(trial)) else None


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("rps", "requests per second", rate, more_is_better=True),
        Metric("p50", "median response time", _p50, ab_step=MILLISECOND),
        Metric("p99", "99th percentile of response times", _p99, ab_step=MILLISECOND),
        Metric("cpu", "CPU time per request", cpu_per_request),
        Metric("memory", "memory at its peak", memory, depends_on_speed=False),
    )
}


def metric_of(name: str) -> Metric:
    """Return the metric of this name; UsageError lists the known ones."""
    if name not in METRICS:
        raise UsageError(f"no metric is called {name!r}. Known: {', '.join(METRICS)}")
    return METRICS[name]
