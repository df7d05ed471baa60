"""Two runs side by side, as plain cells."""

from collections.abc import Callable

from bench.analysis.compare import Pair
from bench.report import figures

Cell = Callable[[Pair], str]


def _sides(figure: Callable[[float | None], str], name: str) -> Cell:
    """Show base → new and their ratio."""

    def cell(pair: Pair) -> str:
        base, new = getattr(pair.base, name), getattr(pair.new, name)
        return f"{figure(base)} → {figure(new)} ({figures.ratio(new, base)})"

    return cell


COMPARISON_COLUMNS: tuple[tuple[str, Cell], ...] = (
    ("deployment", lambda pair: pair.new.deployment.name),
    ("req/s", _sides(figures.rate, "requests_per_second")),
    ("p50", _sides(figures.seconds, "p50")),
    ("p99", _sides(figures.seconds, "p99")),
    ("CPU ms/req", _sides(figures.milliseconds, "cpu_per_request")),
    ("memory", _sides(figures.size, "memory_bytes")),
)
