"""What a check is, and what it finds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
"""``error``: it will not work; ``warning``: it costs or breaks under load; ``note``: to know."""


@dataclass(frozen=True)
class Check:
    """One thing that is looked for: its texts are the same wherever it is found."""

    id: str
    """In kebab case, as it is silenced by: ``patched-too-late``."""
    severity: Severity
    title: str
    why: str
    """What happens, in a sentence or two."""
    source: str
    """Where that is known from: a public issue (``gevent#1016``), documentation, a measurement."""
    fix: str
    """What to do instead; ``{…}`` is filled in from `Finding.details`."""


@dataclass(frozen=True)
class Evidence:
    """Where something was seen."""

    text: str
    """The line, the object or the setting itself."""
    file: str | None = None
    line: int | None = None
    """Counted from 1."""


@dataclass(frozen=True)
class Finding:
    """One thing that a check found."""

    check: Check
    message: str
    """What was found, in one sentence that names it."""
    evidence: tuple[Evidence, ...]
    """At least one."""
    details: Mapping[str, str] | None = None
    silenced: str | None = None
    """The reason that the user gave for leaving it as it is."""

    @property
    def fix(self) -> str:
        """Return what to do, with the details of this very case."""
        return self.check.fix.format_map(self.details or {})
