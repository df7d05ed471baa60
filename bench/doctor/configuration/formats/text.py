"""A file as numbered lines, and the places in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.doctor.findings import Evidence
from bench.errors import UsageError


@dataclass(frozen=True)
class TextFile:
    """A file that was read."""

    path: Path
    shown: str
    """Its path as errors name it."""
    text: str

    @property
    def lines(self) -> list[str]:
        """Its lines, without their ends."""
        return self.text.split("\n")

    def at(self, line: int | None, text: str | None = None) -> Evidence:
        """Return a place in it, by default with the line itself as the text."""
        if line is None or not 0 < line <= len(self.lines):
            return Evidence(text or self.path.name, str(self.path))
        return Evidence(text or self.lines[line - 1].strip(), str(self.path), line)

    def joined_lines(self) -> Iterator[tuple[int, str]]:
        r"""Yield lines that are neither empty nor comments, those that end in ``\`` joined."""
        begun, parts = 0, list[str]()
        for number, line in enumerate(self.lines, start=1):
            stripped = line.strip()
            if stripped.startswith("#") or (not stripped and not parts):
                continue
            begun = begun if parts else number
            parts.append(stripped.removesuffix("\\").strip())
            if not stripped.endswith("\\"):
                yield begun, " ".join(filter(None, parts))
                parts = []
        if parts:
            yield begun, " ".join(filter(None, parts))


def read_text(path: Path, folder: Path) -> TextFile:
    """Read a file; its name is relative to the folder where it lies in it.

    Raises:
        UsageError: it cannot be read.

    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    if "\0" in text:
        raise UsageError(f"{path} is no text")
    absolute = path.resolve()
    inside = absolute.is_relative_to(folder.resolve())
    shown = str(absolute.relative_to(folder.resolve())) if inside else str(path)
    return TextFile(absolute, shown, text.replace("\r\n", "\n"))
