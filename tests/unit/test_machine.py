import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import psutil
import pytest

from bench.machine import fingerprint, package_versions, somaxconn

ROOT = Path(__file__).resolve().parents[2]


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_it_describes_this_machine(tmp_path: Path) -> None:
    machine = fingerprint(tmp_path, {"ab": "ab 2.3"})

    assert machine.cpu
    assert machine.cores == psutil.cpu_count()
    assert machine.memory_bytes == psutil.virtual_memory().total
    assert machine.kernel
    assert machine.open_files > 0
    assert machine.versions["ab"] == "ab 2.3"
    assert machine.versions["flask"] == metadata.version("flask")
    assert machine.git_revision is None


def test_it_stays_the_same(tmp_path: Path) -> None:
    assert fingerprint(tmp_path, {}) == fingerprint(tmp_path, {})


def test_what_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "gunicorn":
            raise metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(metadata, "version", version)
    versions = package_versions()
    assert "gunicorn" not in versions
    assert versions["flask"] == "1"


def test_the_bound_on_listen_queues_is_the_kernels() -> None:
    setting = Path("/proc/sys/net/core/somaxconn")
    assert somaxconn() == (int(setting.read_text()) if setting.exists() else None)


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_the_revision_says_whether_there_were_changes(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "-m", "one")
    revision = git(tmp_path, "rev-parse", "--short=12", "HEAD")
    assert fingerprint(tmp_path, {}).git_revision == revision

    (tmp_path / "file").write_text("two")
    assert fingerprint(tmp_path, {}).git_revision == f"{revision}+changes"
