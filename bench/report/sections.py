"""Tables that only some runs have: of scenarios, peers, variants and containers."""

from bench.model import Run
from bench.report import containers, mix, side_by_side
from bench.report.grids import Grid

SECTIONS = {
    mix.TITLE: mix.mix_grid,
    side_by_side.PEERS: side_by_side.peer_grid,
    side_by_side.VARIANTS: side_by_side.variant_grid,
    containers.TITLE: containers.container_grid,
}
"""Title → the table of a run; ``None``: it has nothing for it."""


def sections(run: Run) -> dict[str, Grid]:
    """Return title → table, of those that this run has something for."""
    found = {title: of(run) for title, of in SECTIONS.items()}
    return {title: grid for title, grid in found.items() if grid}
