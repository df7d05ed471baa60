import os
import signal
import subprocess
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.processes import guardian_helper
from bench.processes.guardian import MARKER, Guardian
from bench.processes.guardian_helper import Watched, run


def dead_pid() -> int:
    with subprocess.Popen(["true"]) as child:
        pass
    return child.pid


def test_processes_and_folders_are_noted_and_forgotten() -> None:
    watched = Watched()

    watched.note(f'["+pid", {os.getpid()}, 2]\n'.encode())
    watched.note(b'["+dir", "/tmp/with\\nnewline"]\n')

    assert watched.leaders == {os.getpid(): signal.SIGINT}
    assert watched.sessions() == {os.getpid()}
    assert watched.directories == {Path("/tmp/with\nnewline")}  # noqa: S108

    watched.note(f'["-pid", {os.getpid()}]\n'.encode())
    watched.note(b'["-dir", "/tmp/with\\nnewline"]\n')

    assert watched.sessions() == set()
    assert watched.directories == set()


def test_a_message_that_was_cut_short_changes_nothing() -> None:
    watched = Watched()

    for line in (b'["+pid", 12', b"\xff\n", b"12\n", b'["+pid", "1", 15]\n', b'["else", 1]\n'):
        watched.note(line)

    assert watched.leaders == {}


def test_commands_are_noted_replaced_and_forgotten() -> None:
    watched = Watched()

    watched.note(b'["+cmd", "containers", "docker", "rm", "1"]')
    watched.note(b'["+cmd", "containers", "docker", "rm", "2"]')
    watched.note(b'["+cmd", "other"]')

    assert watched.commands == {"containers": ("docker", "rm", "2")}

    watched.note(b'["-cmd", "containers"]')

    assert watched.commands == {}


def test_a_command_that_fails_or_hangs_does_not_keep_the_next_from_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guardian_helper, "COMMAND_WITHIN", 0.1)

    run([("/no/such/program",), ("false",), ("sleep", "30"), ("touch", str(tmp_path / "done"))])

    assert (tmp_path / "done").exists()


def test_a_killed_harness_has_its_commands_run(tmp_path: Path) -> None:
    guardian = Guardian()
    with guardian:
        guardian.watch_command("kept", ["touch", str(tmp_path / "kept")])
        guardian.watch_command("released", ["touch", str(tmp_path / "released")])
        guardian.release_command("released")

    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_the_session_of_a_dead_leader_is_still_searched() -> None:
    watched = Watched()
    pid = dead_pid()

    watched.note(f'["+pid", {pid}, 15]'.encode())

    assert watched.sessions() == {pid}


def test_a_process_with_a_reused_id_is_not_ours() -> None:
    watched = Watched()
    pid = dead_pid()
    watched.note(f'["+pid", {pid}, 15]'.encode())
    watched.leaders = {os.getpid(): 15}  # as if this process had got the dead one's id

    assert watched.sessions() == set()


def test_two_guardians_have_different_marks() -> None:
    first, second = Guardian(), Guardian()

    assert first.environment == {MARKER: first.token}
    assert first.token != second.token


def test_a_guardian_that_was_not_entered_cannot_promise_anything() -> None:
    with pytest.raises(BenchError, match="not running"):
        Guardian().watch(os.getpid())
