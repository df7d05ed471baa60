"""What the doctor says of an app: the answer as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.doctor.findings import Finding, Severity

COUNTED: tuple[Severity, ...] = ("error", "warning")
"""What is to be mended or silenced; notes are to be known."""


@dataclass(frozen=True)
class Diagnosis:
    """What was looked at, and what was found."""

    app: str
    """``module:app``."""
    folder: Path
    python: Path
    python_version: str
    deployments: tuple[str, ...]
    files: int
    """Of the app's own source that were read."""
    app_file: str | None
    """Where its module is: for what has no line of its own."""
    findings: tuple[Finding, ...]
    unseen: tuple[str, ...] = ()
    """What could not be looked at, and why."""

    @property
    def looked_at(self) -> str:
        """Say what was looked at, in one line."""
        files = f"{self.files} file{'' if self.files == 1 else 's'}"
        return (
            f"{self.app}, {files}, under {', '.join(self.deployments)}, Python"
            f" {self.python_version} in {self.python}"
        )

    @property
    def counted(self) -> tuple[Finding, ...]:
        """The errors and warnings that nobody has silenced."""
        return tuple(
            each for each in self.findings if each.check.severity in COUNTED and not each.silenced
        )

    def of(self, severity: Severity) -> Sequence[Finding]:
        """Return the findings of one severity that are not silenced."""
        return [
            each for each in self.findings if each.check.severity == severity and not each.silenced
        ]

    @property
    def silenced(self) -> Sequence[Finding]:
        """The findings that somebody gave a reason to leave as they are."""
        return [each for each in self.findings if each.silenced]
