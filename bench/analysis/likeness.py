"""Whether two machines are alike enough for the figures of one to be held against the other's."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from bench.model import Machine


def unlike(base: Machine, new: Machine) -> tuple[str, ...]:
    """Return what makes two machines unlike, a line each: no line, no reason to refuse.

    What one of them does not tell, such as a run of an older version, makes nobody unlike.
    """
    return tuple(
        f"machine, {name}: {old} → {current}"
        for name, old, current, tolerance in _pairs(base, new)
        if _differ(old, current, tolerance)
    )


def _pairs(base: Machine, new: Machine) -> Iterator[tuple[str, Any, Any, float]]:
    for each in fields(Machine):
        if "alike" not in each.metadata:
            continue
        old, current = getattr(base, each.name), getattr(new, each.name)
        if isinstance(old, Mapping):
            for key in sorted(old.keys() & current.keys()):
                yield key, old[key], current[key], each.metadata["alike"]
        else:
            yield each.name, old, current, each.metadata["alike"]


def _differ(old: Any, current: Any, tolerance: float) -> bool:  # noqa: ANN401 - of any field
    if old is None or current is None or old == current:
        return False
    try:
        first, second = float(old), float(current)
    except (TypeError, ValueError):
        return True
    return abs(first - second) > tolerance * max(abs(first), abs(second))
