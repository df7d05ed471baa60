"""Ratios of one deployment to another, as tables for every kind of report."""

from collections.abc import Callable, Sequence

from bench.analysis.paired import Ratio
from bench.analysis.side_by_side import COMPARED, SideBySide, beside_peers, variant_effects
from bench.model import Run
from bench.report import figures
from bench.report.grids import Cell, Grid, Heading, Line

HEADINGS = {
    "rps": "req/s",
    "p50": "p50",
    "p99": "p99",
    "cpu": "CPU per request",
    "memory": "memory",
}
RATIO_HEADINGS = tuple(Heading(HEADINGS[name]) for name in COMPARED)
ONE_ROUND = " 1 round: no uncertainty known."
VARIANTS = "What each variant changes"
PEERS = "Beside the peers"


def variant_grid(run: Run) -> Grid | None:
    """Return the variants ÷ their deployments; ``None`` where the run has no such pair."""
    caption = (
        "Each variant ÷ the deployment that it changes, paired by round, with the 99% interval: an"
        " interval with 1.00 in it shows no difference."
    )
    titles = {t.deployment.name: t.deployment.title.partition(": ")[2] for t in run.trials}
    return _grid(
        "variants", caption, "what it is", variant_effects(run), lambda e: titles[e.deployment]
    )


def peer_grid(run: Run) -> Grid | None:
    """Return the fastest of ours ÷ the peers; ``None`` where the run has no peers."""
    caption = (
        "The fastest deployment of this project ÷ what one might pick instead, paired by round,"
        " with the 99% interval: an interval with 1.00 in it shows no difference."
    )
    return _grid("peers", caption, "÷", beside_peers(run), lambda effect: effect.base)


def _grid(
    name: str,
    caption: str,
    heading: str,
    effects: Sequence[SideBySide],
    text: Callable[[SideBySide], str],
) -> Grid | None:
    if not effects:
        return None
    few = ONE_ROUND if any(effect.rounds == 1 for effect in effects) else ""
    lines = (
        Line(
            effect.deployment,
            (
                Cell(effect.deployment),
                Cell(text(effect)),
                *(ratio_cell(effect.ratios.get(name)) for name in COMPARED),
            ),
        )
        for effect in effects
    )
    return Grid(
        name,
        caption + few,
        (Heading("deployment", number=False), Heading(heading, number=False), *RATIO_HEADINGS),
        tuple(lines),
    )


def ratio_cell(ratio: Ratio | None) -> Cell:
    """Return a ratio with its interval."""
    if ratio is None:
        return Cell(figures.UNKNOWN)
    span = ratio.estimate.interval if ratio.estimate else None
    interval = f" ({span.low:.2f} to {span.high:.2f})" if span else ""
    return Cell(f"{ratio.value:.2f}×{interval}", ratio.value)
