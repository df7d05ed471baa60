"""What the kernel tells in files; another root than ``/`` makes it testable."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class System:
    """The files below one root. What is absent, unreadable or no number is ``None``."""

    root: Path = Path("/")

    def text(self, path: str) -> str | None:
        """Return what a file holds, without the white space around it."""
        try:
            return (self.root / path).read_text("utf-8", "replace").strip()
        except OSError:
            return None

    def number(self, path: str) -> int | None:
        """Return the whole number that a file holds."""
        with suppress(ValueError):
            return int(self.text(path) or "")
        return None

    def texts(self, folder: str, pattern: str) -> Iterator[str]:
        """Yield what each file holds that matches the pattern below the folder."""
        for path in sorted((self.root / folder).glob(pattern)):
            if text := self.text(str(path.relative_to(self.root))):
                yield text

    def has(self, path: str) -> bool:
        """Say whether the path exists, as far as this user may see."""
        try:
            return (self.root / path).exists()
        except OSError:
            return False

    def table(self, path: str) -> dict[str, int]:
        """Return the first number of each line by its label, as in ``/proc/meminfo``."""
        found = {}
        for line in (self.text(path) or "").splitlines():
            label, *values = line.replace(":", " ").split()
            if values and values[0].isdecimal():
                found[label] = int(values[0])
        return found


HERE = System()
"""This machine."""
