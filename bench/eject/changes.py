"""What writing would change, file by file: nothing of the user's is ever lost without his word."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

State = Literal["new", "updated", "same", "kept", "edited", "replaced", "removed", "left"]
"""``same``: as it should be already; ``kept``: edited by the user, and no news for it; ``edited``:
edited, and there is news: refused; ``replaced``: one of these by force; ``left``: edited, and no
longer one of ours."""
WRITTEN = ("new", "updated", "replaced")
NO_END = "\\ No newline at end of file\n"


@dataclass(frozen=True)
class Change:
    """One file of the folder: as it is, and as it should be."""

    path: str
    """Relative to the folder."""
    state: State
    before: bytes | None
    """``None``: it is not there."""
    after: bytes | None
    """``None``: it is not ours any more."""

    @property
    def is_one(self) -> bool:
        """Whether something happens to the file, or would with force."""
        return self.state in (*WRITTEN, "edited", "removed")

    @property
    def diff(self) -> str:
        """The change as a unified diff."""
        after = None if self.state == "left" else self.after
        lines = difflib.unified_diff(
            _lines(self.before),
            _lines(after),
            "/dev/null" if self.before is None else f"a/{self.path}",
            "/dev/null" if after is None else f"b/{self.path}",
        )
        return "".join(line if line.endswith("\n") else f"{line}\n{NO_END}" for line in lines)


def changes(
    wanted: Mapping[str, bytes],
    present: Mapping[str, bytes],
    recorded: Mapping[str, str],
    *,
    force: bool = False,
) -> tuple[Change, ...]:
    """Compare what should be there with what is there and with what was written last.

    Args:
        wanted: path → content.
        present: the same of the files that are there, among those of ``wanted`` and ``recorded``.
        recorded: path → `digest` of what was written last.
        force: replace what the user has edited, too.

    """
    found = []
    for path, after in wanted.items():
        before = present.get(path)
        found.append(Change(path, _state(before, after, recorded.get(path), force), before, after))
    for path in sorted(recorded.keys() - wanted.keys()):
        if (before := present.get(path)) is not None:
            own = digest(before) == recorded[path]
            found.append(Change(path, "removed" if own else "left", before, None))
    return tuple(found)


def refused(found: Sequence[Change]) -> tuple[str, ...]:
    """Return the paths that stand in the way of writing."""
    return tuple(change.path for change in found if change.state == "edited")


def digest(content: bytes) -> str:
    """Return what a content is known by."""
    return sha256(content).hexdigest()


def _state(before: bytes | None, after: bytes, recorded: str | None, force: bool) -> State:
    if before is None:
        return "new"
    if before == after:
        return "same"
    if recorded is not None and digest(before) == recorded:
        return "updated"
    if force:
        return "replaced"
    return "kept" if recorded == digest(after) else "edited"


def _lines(content: bytes | None) -> list[str]:
    return (content or b"").decode("utf-8", "replace").splitlines(keepends=True)
