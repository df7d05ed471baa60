"""What can be run: the list of deployments, their variants and the workloads."""

from collections.abc import Iterator

from pydantic import TypeAdapter
from rich.console import RenderableType
from rich.table import Table as RichTable

from bench.catalog import Catalog
from bench.model import Variant
from bench.report.table import load_text, slots_text


def as_json(catalog: Catalog) -> str:
    """Return the catalog as JSON."""
    return TypeAdapter(Catalog).dump_json(catalog, indent=1).decode()


def for_terminal(catalog: Catalog) -> Iterator[RenderableType]:
    """Yield what to print of the catalog."""
    yield _grid(
        ("deployment", "what it is", "slots", "files to copy"),
        [
            (d.name, d.title, slots_text(d), ", ".join(d.copy) or "none")
            for d in catalog.deployments.values()
        ],
    )
    yield ""
    yield _grid(
        ("variant", "what it changes", "of"),
        [(f"@{v.name}", v.title, _suited(catalog, v)) for v in catalog.variants.values()],
    )
    yield ""
    yield _grid(
        ("workload", "request", "load", "shows"),
        [(w.name, w.url_path(), load_text(w.load), w.purpose) for w in catalog.workloads.values()],
    )


def _suited(catalog: Catalog, variant: Variant) -> str:
    all_of = [d.name for d in catalog.deployments.values() if d.group is None]
    suited = [d.name for d in catalog.deployments.values() if variant.suits_to(d)]
    return "all but peers" if suited == all_of else ", ".join(suited)


def _grid(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> RichTable:
    grid = RichTable(*headings, header_style="bold", box=None, pad_edge=False)
    for row in rows:
        grid.add_row(*row)
    return grid
