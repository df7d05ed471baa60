"""How much of a load is done."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bench.model import Load


class LoadProgress:
    """The part of a load that is done: from what the generator has printed, or by the clock."""

    def __init__(self, load: Load, errors: Path, report: Callable[[float], None] | None) -> None:
        self.load = load
        self.errors = errors
        self.report = report
        self.told = -1.0

    def __call__(self, elapsed: float) -> None:
        """Look again; ``elapsed``: seconds since the load began."""
        if self.load.duration is not None:
            self._tell(min(1.0, elapsed / self.load.duration))
        elif self.load.requests is not None:
            self._tell(min(1.0, self._completed() / self.load.requests))

    def done(self) -> None:
        """Say that all of it is done."""
        self._tell(1.0)

    def _tell(self, part: float) -> None:
        if self.report is not None and part > self.told:
            self.told = part
            self.report(part)

    def _completed(self) -> int:
        # At most ten lines: ab tells each tenth, and nothing at all up to 150 requests.
        text = ""
        with suppress(OSError):
            text = self.errors.read_text(errors="replace")
        counts = re.findall(r"^Completed (\d{1,10}) requests", text, re.MULTILINE)
        return int(counts[-1]) if counts else 0
