"""The Markdown that reports share: a table's line, and text that cannot become markup."""

from collections.abc import Iterable


def line(cells: Iterable[str]) -> str:
    """Return a line of a table."""
    return "| " + " | ".join(escaped(cell) for cell in cells) + " |"


def rule(right: Iterable[bool]) -> str:
    """Return the line below a table's headings; ``right``: which columns are set to the right."""
    return "| " + " | ".join("---:" if each else ":---" for each in right) + " |"


def escaped(text: str) -> str:
    """Keep foreign text from becoming markup: of a table, of HTML or of Markdown itself."""
    for character in "\\`*_[]|":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").split())
