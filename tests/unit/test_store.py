import errno
import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import TypeAdapter

from bench import store
from bench.errors import BenchError, UsageError
from bench.model import Load, Run
from bench.store import load_run, new_run_folder, run_as_json, save_run
from tests.unit.factories import a_database_workload, a_failed_trial, a_run, a_trial

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
RUN = a_run(
    a_trial(),
    a_failed_trial(),
    workload=a_database_workload(load_for={"devserver": Load(5, duration=2.5)}),
    skipped={"nginx-uwsgi": "nginx is not installed"},
    notes=("a remark – with “quotes”",),
    planned=((1, "gevent-uwsgi"), (1, "sync-uwsgi"), (2, "sync-uwsgi")),
)


def saved(folder: Path, change: Callable[[dict[str, Any]], object] = lambda _: None) -> Path:
    content = json.loads(run_as_json(RUN))
    change(content)
    (folder / "run.json").write_text(json.dumps(content))
    return folder


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestFolder:
    def test_it_is_named_by_time_and_workload(self, tmp_path: Path) -> None:
        folder = new_run_folder(tmp_path / "not" / "yet", "api", NOW)
        assert folder == tmp_path / "not" / "yet" / "20261120T120000Z-api"
        assert folder.is_dir()

    def test_runs_of_the_same_second_get_folders_of_their_own(self, tmp_path: Path) -> None:
        names = [new_run_folder(tmp_path, "api", NOW).name for _ in range(3)]
        stem = "20261120T120000Z-api"
        assert names == [stem, f"{stem}-2", f"{stem}-3"]

    def test_names_sort_by_time(self, tmp_path: Path) -> None:
        later = NOW.replace(hour=13)
        first = new_run_folder(tmp_path, "hello", NOW)
        assert first.name < new_run_folder(tmp_path, "api", later).name

    def test_there_is_an_end_to_it(self, tmp_path: Path) -> None:
        for _ in range(99):
            new_run_folder(tmp_path, "api", NOW)
        with pytest.raises(BenchError, match="99 runs of this second"):
            new_run_folder(tmp_path, "api", NOW)

    def test_a_file_in_the_way(self, tmp_path: Path) -> None:
        (tmp_path / "results").write_text("")
        with pytest.raises(BenchError, match=r"cannot write to .*results: .*--results"):
            new_run_folder(tmp_path / "results", "api", NOW)

    def test_a_disk_that_is_as_good_as_full(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Usage(NamedTuple):
            free: int

        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free=3 * 1024**2))
        with pytest.raises(BenchError, match=r"only 3 MB are free .* needs 64 MB") as caught:
            new_run_folder(tmp_path, "api", NOW)
        assert str(tmp_path) in str(caught.value)
        assert files_in(tmp_path) == []


class TestRoundTrip:
    def test_what_was_saved_is_what_is_read(self, tmp_path: Path) -> None:
        save_run(RUN, tmp_path)
        assert load_run(tmp_path) == RUN
        assert load_run(tmp_path / "run.json") == RUN
        assert (tmp_path / "run.json").read_text() == run_as_json(RUN)

    def test_every_field_is_written(self, tmp_path: Path) -> None:
        save_run(RUN, tmp_path)
        content = json.loads((tmp_path / "run.json").read_text())
        assert content == TypeAdapter(Run).dump_python(RUN, mode="json")
        assert content["trials"][1]["measurement"] is None

    def test_others_may_read_it(self, tmp_path: Path) -> None:
        save_run(RUN, tmp_path)
        assert (tmp_path / "run.json").stat().st_mode & 0o777 == 0o644

    def test_latest_is_the_newest(self, tmp_path: Path) -> None:
        for workload in ("api", "db"):
            folder = new_run_folder(tmp_path, workload, NOW)
            save_run(a_run(id=folder.name), folder)
            assert load_run(tmp_path / "latest").id == folder.name
        assert not (tmp_path / "latest").readlink().is_absolute()

    def test_latest_follows_a_results_folder_that_moves(self, tmp_path: Path) -> None:
        save_run(RUN, new_run_folder(tmp_path / "here", "api", NOW))
        (tmp_path / "here").rename(tmp_path / "there")
        assert load_run(tmp_path / "there" / "latest") == RUN


class TestAtomic:
    @pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
    def test_a_failure_in_mid_write_leaves_the_old_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        folder = tmp_path / "run"
        folder.mkdir()
        save_run(RUN, folder)

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os if step == "fsync" else Path, step, full)
        with pytest.raises(BenchError, match=r"cannot write to .*No space left on device"):
            save_run(a_run(id="another"), folder)
        monkeypatch.undo()

        assert load_run(folder) == RUN
        assert files_in(folder) == ["run.json"]

    def test_an_interrupt_in_mid_write_leaves_the_old_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save_run(RUN, tmp_path)

        def interrupt(_: int) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            save_run(a_run(id="another"), tmp_path)
        assert load_run(tmp_path) == RUN
        assert files_in(tmp_path) == ["run.json"]

    def test_a_reader_never_sees_a_part(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "run"
        folder.mkdir()
        save_run(RUN, folder)
        seen = []
        sync = os.fsync

        def look(descriptor: int) -> None:
            seen.append(load_run(folder))
            sync(descriptor)

        monkeypatch.setattr(os, "fsync", look)
        save_run(a_run(id="another"), folder)
        assert seen == [RUN]
        assert load_run(folder).id == "another"

    def test_a_folder_that_is_gone(self, tmp_path: Path) -> None:
        with pytest.raises(BenchError, match=r"cannot write to .*No such file or directory"):
            save_run(RUN, tmp_path / "gone")


class TestDamaged:
    def refuse(self, path: Path, words: str) -> None:
        with pytest.raises(UsageError, match=words) as caught:
            load_run(path)
        assert str(path) in str(caught.value)
        assert caught.value.exit_code == 2

    def test_no_such_folder(self, tmp_path: Path) -> None:
        self.refuse(tmp_path / "nowhere", "is no run: No such file or directory")

    def test_a_folder_without_a_run(self, tmp_path: Path) -> None:
        self.refuse(tmp_path, r"is no run: No such file or directory: .*run\.json")

    def test_a_latest_that_leads_nowhere(self, tmp_path: Path) -> None:
        (tmp_path / "latest").symlink_to("removed")
        self.refuse(tmp_path / "latest", "is no run: No such file")

    @pytest.mark.parametrize("version", [0, store.SCHEMA + 1, 99])
    def test_a_schema_that_is_not_known(self, tmp_path: Path, version: int) -> None:
        folder = saved(tmp_path, lambda run: run.update(schema=version))
        self.refuse(folder, rf"has schema version {version}; .* reads")

    def test_a_newer_schema_says_so(self, tmp_path: Path) -> None:
        folder = saved(tmp_path, lambda run: run.update(schema=store.SCHEMA + 1))
        self.refuse(folder, "A newer flask-bench wrote it")

    def test_no_schema_at_all(self, tmp_path: Path) -> None:
        self.refuse(saved(tmp_path, lambda run: run.pop("schema")), "has schema version None")

    @pytest.mark.parametrize("content", ["", "{", "no JSON", "\x00", "[" * 100_000])
    def test_what_is_no_json(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "run.json").write_text(content)
        self.refuse(tmp_path, "is damaged or no run")

    @pytest.mark.parametrize("content", ["[]", "null", "1", '"run"'])
    def test_json_that_is_no_run(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "run.json").write_text(content)
        self.refuse(tmp_path, "has schema version None")

    def test_not_even_text(self, tmp_path: Path) -> None:
        (tmp_path / "run.json").write_bytes(b"\xff\xfe\x00{")
        self.refuse(tmp_path, "is damaged or no run")

    @pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
    def test_a_file_that_was_cut_off(self, tmp_path: Path, part: float) -> None:
        text = run_as_json(RUN)
        (tmp_path / "run.json").write_text(text[: int(len(text) * part)])
        self.refuse(tmp_path, "is damaged or no run")

    def test_an_unknown_key_is_named_with_its_place(self, tmp_path: Path) -> None:
        folder = saved(tmp_path, lambda run: run["trials"][0].update(rps=3))
        self.refuse(folder, r"trials\.0\.rps: Unexpected keyword argument")

    def test_a_missing_key_is_named(self, tmp_path: Path) -> None:
        folder = saved(tmp_path, lambda run: run["machine"].pop("cores"))
        self.refuse(folder, r"machine\.cores: Field required")

    def test_a_wrong_type_is_named(self, tmp_path: Path) -> None:
        folder = saved(tmp_path, lambda run: run["trials"][0]["measurement"].update(requests="x"))
        self.refuse(folder, r"trials\.0\.measurement\.requests: Input should be a valid integer")
