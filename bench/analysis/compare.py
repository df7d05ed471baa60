"""Two runs side by side: what each deployment did in both, and what else differed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from bench.analysis.summary import Row, summarise
from bench.model import Run

CHANGES_WITH_EVERY_RUN = frozenset({"versions", "git_revision"})
"""Fields of the machine that are not the machine: compared on their own, or meant to differ."""


@dataclass(frozen=True)
class Pair:
    """One deployment in both runs."""

    base: Row
    new: Row


@dataclass(frozen=True)
class Comparison:
    """Two runs, deployment by deployment."""

    base: str
    new: str
    pairs: tuple[Pair, ...]
    only_in_base: tuple[str, ...]
    only_in_new: tuple[str, ...]
    differences: tuple[str, ...]
    """What else differs between the runs: any of it may explain what the figures show."""


def compare(base: Run, new: Run) -> Comparison:
    """Set two runs side by side."""
    old = {row.deployment.name: row for row in summarise(base)}
    current = {row.deployment.name: row for row in summarise(new)}
    pairs = tuple(Pair(old[name], row) for name, row in current.items() if name in old)
    return Comparison(
        base=base.id,
        new=new.id,
        pairs=pairs,
        only_in_base=tuple(old.keys() - current.keys()),
        only_in_new=tuple(current.keys() - old.keys()),
        differences=tuple(_differences(base, new, pairs)),
    )


def _differences(base: Run, new: Run, pairs: tuple[Pair, ...]) -> Iterator[str]:
    for field in fields(base.machine):
        if field.name not in CHANGES_WITH_EVERY_RUN:
            yield from _differs(
                f"machine, {field.name}",
                getattr(base.machine, field.name),
                getattr(new.machine, field.name),
            )
    yield from _mappings("version of", base.machine.versions, new.machine.versions)
    for name in ("app", "runner", "generator"):
        yield from _differs(name, getattr(base, name), getattr(new, name))
    for field in fields(base.workload):
        if field.name not in {"load", "load_for"}:
            yield from _differs(
                f"workload, {field.name}",
                getattr(base.workload, field.name),
                getattr(new.workload, field.name),
            )
    for pair in pairs:
        name = pair.new.deployment.name
        yield from _differs(f"load of {name}", pair.base.load, pair.new.load)
        for setting in ("workers", "threads", "async_cores", "backlog"):
            yield from _differs(
                f"{setting} of {name}",
                getattr(pair.base.deployment, setting),
                getattr(pair.new.deployment, setting),
            )


def _mappings(what: str, base: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for key in sorted(base.keys() | new.keys()):
        yield from _differs(f"{what} {key}", base.get(key), new.get(key))


def _differs(what: str, base: object, new: object) -> Iterator[str]:
    if base != new:
        yield f"{what}: {base} → {new}"
