"""What writing would change: ours is updated, the user's is his."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.eject.changes import Change, changes, digest, refused

ONE, TWO, THREE = b"one\n", b"two\n", b"three\n"


def state(
    before: bytes | None, recorded: bytes | None, after: bytes, *, force: bool = False
) -> str:
    present = {} if before is None else {"file": before}
    known = {} if recorded is None else {"file": digest(recorded)}
    (change,) = changes({"file": after}, present, known, force=force)
    return change.state


@pytest.mark.parametrize(
    ("before", "recorded", "after", "expected", "forced"),
    [
        (None, None, ONE, "new", "new"),
        (None, ONE, ONE, "new", "new"),  # he removed it
        (ONE, None, ONE, "same", "same"),  # copied by hand before
        (ONE, ONE, ONE, "same", "same"),
        (ONE, ONE, TWO, "updated", "updated"),
        (ONE, None, TWO, "edited", "replaced"),  # never ours
        (THREE, ONE, TWO, "edited", "replaced"),
        (THREE, ONE, ONE, "kept", "replaced"),  # edited, and there is no news for it
        (TWO, ONE, TWO, "same", "same"),  # he did what we would
    ],
)
def test_states(
    before: bytes | None, recorded: bytes | None, after: bytes, expected: str, forced: str
) -> None:
    assert state(before, recorded, after) == expected
    assert state(before, recorded, after, force=True) == forced


def test_what_is_no_longer_ours_goes_unless_it_was_edited() -> None:
    known = {"gone": digest(ONE), "edited": digest(ONE), "missing": digest(ONE)}
    found = changes({}, {"gone": ONE, "edited": TWO}, known, force=True)
    assert {c.path: c.state for c in found} == {"gone": "removed", "edited": "left"}
    assert not refused(found)


contents = st.sampled_from([ONE, TWO, THREE])


@given(before=contents, recorded=st.none() | contents, after=contents)
def test_no_content_is_replaced_that_was_not_written_here(
    before: bytes, recorded: bytes | None, after: bytes
) -> None:
    if state(before, recorded, after) == "updated":
        assert before == recorded


def test_a_diff_is_one_that_patch_applies(tmp_path: Path) -> None:
    for name, before, after in (
        ("changed", b"a\nb\tc\nd\n", b"a\nB\tc\nd\n"),
        ("no_end", b"a\nb", b"a\nb\n"),
        ("lost_end", b"a\nb\n", b"a\nb"),
    ):
        (tmp_path / name).write_bytes(before)
        diff = Change(name, "updated", before, after).diff
        subprocess.run(
            ["patch", "-p1"], input=diff.encode(), cwd=tmp_path, check=True, capture_output=True
        )
        assert (tmp_path / name).read_bytes() == after


def test_a_diff_says_what_is_new_and_what_goes() -> None:
    new, gone = Change("x", "new", None, ONE).diff, Change("x", "removed", ONE, None).diff
    assert new.splitlines() == ["--- /dev/null", "+++ b/x", "@@ -0,0 +1 @@", "+one"]
    assert gone.splitlines() == ["--- a/x", "+++ /dev/null", "@@ -1 +0,0 @@", "-one"]
