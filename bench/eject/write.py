"""Write a folder, all of it or nothing: whatever happens meanwhile, what was there stays whole."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from bench.eject.changes import WRITTEN, Change
from bench.errors import ResultsError, UsageError
from bench.processes.guardian import Guardian

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Undo = list[Callable[[], object]]


def read_present(target: Path, paths: Sequence[str]) -> Mapping[str, bytes]:
    """Return the contents of those files that are there.

    Raises:
        UsageError: something else than a file has such a name, or one cannot be read.

    """
    found = {}
    for path in paths:
        place = target / path
        if place.is_dir():
            raise UsageError(f"{place} is a folder, and a file of this name is to be written")
        try:
            found[path] = place.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise UsageError(f"{place} is in the way: {error.strerror}") from error
    return found


def write(
    target: Path, found: Sequence[Change], others: Mapping[str, bytes], guardian: Guardian
) -> None:
    """Carry the changes out, and write the other files whatever is there.

    All is first written beside, so that a full disk or Ctrl-C in between changes nothing.

    Raises:
        ResultsError: it cannot be written; the folder is as it was.

    """
    contents = {c.path: c.after for c in found if c.state in WRITTEN and c.after is not None}
    gone = [c.path for c in found if c.state == "removed"]
    try:
        if target.exists():
            _write_into(target, {**contents, **others}, gone, guardian)
        else:
            _write_anew(target, {**contents, **others}, guardian)
    except OSError as error:
        raise ResultsError(
            f"{target} cannot be written: {error.strerror or error}. It is as it was; make room, or"
            " choose another folder"
        ) from error


def _write_anew(target: Path, contents: Mapping[str, bytes], guardian: Guardian) -> None:
    with guardian.temporary_directory(target.parent) as folder:
        _fill(folder / "new", contents)
        with _uninterrupted():
            (folder / "new").rename(target)


def _write_into(
    target: Path, contents: Mapping[str, bytes], gone: Sequence[str], guardian: Guardian
) -> None:
    # within it: one file system, even if the folder is a mount of its own
    with guardian.temporary_directory(target) as folder:
        _fill(folder / "new", contents)
        for path in (*contents, *gone):
            if (target / path).exists():
                _copy(target / path, folder / "old" / path)
        undo: Undo = []
        with _uninterrupted():
            try:
                _swap(target, folder, contents, gone, undo)
            except OSError:
                for step in reversed(undo):
                    step()
                raise


def _swap(
    target: Path, folder: Path, contents: Mapping[str, bytes], gone: Sequence[str], undo: Undo
) -> None:
    """Put new files in place and take old ones away: renames only, each of which is undone."""
    for path in contents:
        place, old = target / path, folder / "old" / path
        _make_folder(place.parent, undo)
        (folder / "new" / path).replace(place)
        undo.append(partial(old.replace, place) if old.exists() else place.unlink)
    for path in gone:
        place = target / path
        place.unlink()
        undo.append(partial((folder / "old" / path).replace, place))
    for path in gone:
        with suppress(OSError):  # others are in it
            (target / path).parent.rmdir()


def _make_folder(folder: Path, undo: Undo) -> None:
    if not folder.exists():
        _make_folder(folder.parent, undo)
        folder.mkdir()
        undo.append(folder.rmdir)


def _fill(folder: Path, contents: Mapping[str, bytes]) -> None:
    for path, content in contents.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a rename must not get to the disk before what it names


def _copy(source: Path, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, destination)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C and its like wait until the block, which takes milliseconds, is over."""
    came: list[int] = []
    # handlers and not a mask: another thread of this process could take the signal
    before = {each: signal.signal(each, lambda n, _: came.append(n)) for each in INTERRUPTS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    for number in came:
        signal.raise_signal(number)
