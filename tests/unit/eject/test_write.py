"""All or nothing: on a full disk, under Ctrl-C, and where something is in the way."""

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from bench.eject import record
from bench.eject.changes import Change, changes, digest
from bench.eject.write import read_present, write
from bench.errors import ResultsError, UsageError
from bench.processes.guardian import Guardian

OLD = {"README.md": b"old\n", "systemd/shop.service": b"old unit\n", "nginx/gone.conf": b"gone\n"}
NEW = {"README.md": b"new\n", "systemd/shop.service": b"new unit\n", "kube/a/b.yml": b"pods\n"}


@pytest.fixture(name="guardian", scope="module")
def _guardian() -> Iterator[Guardian]:
    with Guardian() as guardian:
        yield guardian


def tree(folder: Path) -> Mapping[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def make(folder: Path, files: Mapping[str, bytes]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def update(folder: Path) -> tuple[Change, ...]:
    recorded = {path: digest(content) for path, content in OLD.items()}
    return changes(NEW, read_present(folder, [*NEW, *OLD]), recorded)


def test_a_new_folder(tmp_path: Path, guardian: Guardian) -> None:
    write(tmp_path / "deploy", changes(NEW, {}, {}), {record.NAME: b"{}"}, guardian)
    assert tree(tmp_path / "deploy") == {**NEW, record.NAME: b"{}"}
    assert names(tmp_path) == ["deploy"]
    assert (tmp_path / "deploy").stat().st_mode & 0o777 == 0o777 & ~umask()


def umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def test_an_update_leaves_what_is_not_ours(tmp_path: Path, guardian: Guardian) -> None:
    make(tmp_path, {**OLD, "notes.txt": b"mine\n"})
    write(tmp_path, update(tmp_path), {}, guardian)
    assert tree(tmp_path) == {**NEW, "notes.txt": b"mine\n"}
    assert not (tmp_path / "nginx").exists(), "nothing else was in it"
    assert names(tmp_path) == ["README.md", "kube", "notes.txt", "systemd"]


@pytest.mark.parametrize("moment", range(1, 4))
def test_a_rename_that_fails_undoes_those_before_it(
    tmp_path: Path, guardian: Guardian, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    make(tmp_path, OLD)
    found = update(tmp_path)
    replace, calls = Path.replace, 0

    def failing(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += "new" in self.parts
        if calls == moment and "new" in self.parts:
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(ResultsError, match="No space left on device"):
        write(tmp_path, found, {}, guardian)
    assert calls == moment
    assert tree(tmp_path) == OLD
    assert names(tmp_path) == ["README.md", "nginx", "systemd"]


@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk_changes_nothing(
    tmp_path: Path, guardian: Guardian, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    target = tmp_path / "deploy"
    if there:
        make(target, OLD)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResultsError, match="It is as it was"):
        write(target, update(target), {}, guardian)
    assert tree(tmp_path) == ({f"deploy/{path}": c for path, c in OLD.items()} if there else {})
    assert names(tmp_path) == (["deploy"] if there else [])


@pytest.mark.parametrize("there", [False, True])
def test_an_interrupt_while_files_are_made_changes_nothing(
    tmp_path: Path, guardian: Guardian, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    target = make(tmp_path / "deploy", OLD) if there else tmp_path / "deploy"
    monkeypatch.setattr(os, "fsync", lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        write(target, update(target), {}, guardian)
    assert tree(tmp_path) == ({f"deploy/{path}": c for path, c in OLD.items()} if there else {})


def test_an_interrupt_while_they_are_put_in_place_waits(
    tmp_path: Path, guardian: Guardian, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, OLD)
    replace = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        os.kill(os.getpid(), signal.SIGINT)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, update(tmp_path), {}, guardian)
    assert tree(tmp_path) == NEW


def test_a_folder_where_a_file_belongs(tmp_path: Path) -> None:
    (tmp_path / "README.md").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        read_present(tmp_path, ["README.md"])


def test_a_file_where_a_folder_belongs(tmp_path: Path) -> None:
    (tmp_path / "systemd").write_text("")
    with pytest.raises(UsageError, match="is in the way"):
        read_present(tmp_path, ["systemd/shop.service"])


class TestTheRecord:
    def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        (tmp_path / record.NAME).write_bytes(record.as_record("gevent-uwsgi", NEW))
        found = record.read_record(tmp_path)
        assert found
        assert found.deployment == "gevent-uwsgi"
        assert found.files == {path: digest(content) for path, content in NEW.items()}

    def test_none_is_none(self, tmp_path: Path) -> None:
        assert record.read_record(tmp_path) is None

    @pytest.mark.parametrize("text", ["", "{}", '{"deployment": "x", "files": [1]}'])
    def test_a_damaged_one_says_what_to_do(self, tmp_path: Path, text: str) -> None:
        (tmp_path / record.NAME).write_text(text)
        with pytest.raises(UsageError, match="is damaged; remove it"):
            record.read_record(tmp_path)

    def test_a_later_one_is_not_misread(self, tmp_path: Path) -> None:
        text = '{"deployment": "x", "files": {}, "schema_version": 2}'
        (tmp_path / record.NAME).write_text(text)
        with pytest.raises(UsageError, match="another version"):
            record.read_record(tmp_path)
