"""What a user may say of an app, and what is refused at the edge."""

import os
import sys
from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.own_app.app import own_app, read_environment


@pytest.mark.parametrize(
    "spec", ["shop", "shop:app", "shop.wsgi:application", "shop:create_app()", "_a1.b_2:c_3"]
)
def test_what_names_an_app(tmp_path: Path, spec: str) -> None:
    assert own_app(spec, folder=tmp_path).spec == spec


@pytest.mark.parametrize(
    "spec",
    [
        *("", "shop/wsgi.py", "shop:", ":app", "shop:app:x", "shop.:app", "1shop:app", "shop app"),
        *(
            "shop:create_app('x')",
            "shop:app()()",
            "shop:app.wsgi",
            "shop:app;import os",
            "shop:app\n",
        ),
    ],
)
def test_what_names_none(tmp_path: Path, spec: str) -> None:
    with pytest.raises(UsageError, match="module:create_app"):
        own_app(spec, folder=tmp_path)


def test_what_is_not_said_is_this_programs_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = own_app("shop:app")
    assert app.folder == tmp_path.resolve()
    assert app.python == Path(sys.executable)
    assert not app.has_own_python
    assert app.environment == {}


def test_a_virtual_environment_stands_for_its_interpreter(tmp_path: Path) -> None:
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    python = tmp_path / "venv" / "bin" / "python"
    python.symlink_to(sys.executable)
    app = own_app("shop:app", folder=tmp_path, python=tmp_path / "venv")
    assert app.python == python  # the link, without which it would not be that environment's
    assert app.has_own_python


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--app-dir: there is no folder .*/none"):
        own_app("shop:app", folder=tmp_path / "none")
    (tmp_path / "text").write_text("no program")
    for python in (tmp_path / "none", tmp_path / "text", tmp_path):
        with pytest.raises(UsageError, match=r"--python: .* is no interpreter"):
            own_app("shop:app", folder=tmp_path, python=python)


def test_a_home_folder_may_be_written_as_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "shop").mkdir()
    assert own_app("shop:app", folder=Path("~/shop")).folder == tmp_path.resolve() / "shop"


class TestEnvironmentFile:
    def test_its_lines(self, tmp_path: Path) -> None:
        file = tmp_path / ".env"
        file.write_text(
            '# a remark\n\nA=1\nexport B = two words \nC=\'quoted\'\nD=""\nE=a=b#c\nF="half\n'
        )
        expected = {"A": "1", "B": "two words", "C": "quoted", "D": "", "E": "a=b#c", "F": '"half'}
        assert read_environment(file) == expected

    def test_it_reaches_the_app_and_stays_out_of_what_is_shown(self, tmp_path: Path) -> None:
        file = tmp_path / ".env"
        file.write_text("TOKEN=hunter2\n")
        app = own_app("shop:app", folder=tmp_path, env_file=file)
        assert app.environment == {"TOKEN": "hunter2"}
        assert "hunter2" not in repr(app)

    def test_a_line_that_is_none_has_its_number(self, tmp_path: Path) -> None:
        file = tmp_path / ".env"
        file.write_text("A=1\nB\n")
        with pytest.raises(UsageError, match=rf"{file}:2: write NAME=value"):
            read_environment(file)

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="cannot be read"):
            read_environment(tmp_path / "none")
        (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(UsageError, match="cannot be read"):
            read_environment(tmp_path / "bytes")


def test_a_program_that_may_not_run_is_no_interpreter(tmp_path: Path) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\n")
    (tmp_path / "python").chmod(0o644)
    if os.access(tmp_path / "python", os.X_OK):
        pytest.skip("here everything may run")
    with pytest.raises(UsageError, match="no interpreter"):
        own_app("shop:app", folder=tmp_path, python=tmp_path / "python")
