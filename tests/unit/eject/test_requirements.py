"""Where the app's requirements come from."""

import re
import sys
from pathlib import Path

import pytest

from bench.catalog import ROOT
from bench.eject.look import Distribution, Seen
from bench.eject.places import Places
from bench.eject.requirements import AppRequirements, app_requirements
from bench.eject.server_lock import server_lock
from bench.errors import UsageError
from bench.own_app.app import OwnApp
from tests.unit.eject.ejections import CATALOG, distribution, seen

FLASK = distribution("flask", "3.1.3", "werkzeug>=3", "asgiref; extra == 'async'")
WERKZEUG = distribution("werkzeug", "3.1.9", "colorama; sys_platform == 'win32'")
ASGIREF = distribution("asgiref", "3.8")
OTHER = distribution("numpy", "2.0")
PIP = distribution("pip", "24.0")
VENV = seen(FLASK, WERKZEUG, ASGIREF, OTHER, PIP, modules=("flask", "sys"))


def found(
    folder: Path, what: Seen = VENV, *, own: bool = True, given: Path | None = None
) -> AppRequirements:
    python = folder / "bin" / "python" if own else Path(sys.executable)
    where = Places(folder / "deploy", folder, ".", (), folder)
    return app_requirements(OwnApp("shop:app", folder, python), what, where, given)


class TestAFile:
    def test_it_is_named_and_not_copied(self, tmp_path: Path) -> None:
        (tmp_path / "requirements.txt").write_text("flask==3.1.3\n")
        (tmp_path / "pyproject.toml").write_text("[project]\ndependencies = []\n")
        result = found(tmp_path)
        assert result == AppRequirements("requirements.txt", file="requirements.txt")

    def test_another_one(self, tmp_path: Path) -> None:
        (tmp_path / "requirements.txt").write_text("flask\n")
        (tmp_path / "needs").mkdir()
        (tmp_path / "needs" / "prod.txt").write_text("flask==3.1.3\n")
        given = tmp_path / "needs" / "prod.txt"
        assert found(tmp_path, given=given).file == "needs/prod.txt"

    def test_one_outside_of_the_apps_folder(self, tmp_path: Path) -> None:
        (tmp_path / "shop").mkdir()
        (tmp_path / "all.txt").write_text("")
        with pytest.raises(UsageError, match="is not in the app's folder"):
            found(tmp_path / "shop", given=tmp_path / "all.txt")

    def test_what_it_does_not_pin_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "requirements.txt").write_text(
            "# all\nflask>=3  # == would be better\nwerkzeug==3.1.9\ntool @ git+https://x/y\njinja2\n"
        )
        (note,) = found(tmp_path).notes
        assert "no version of flask, jinja2:" in note

    @pytest.mark.parametrize("line", ["-r base.txt", "-c pins.txt", "-e .", "./lib", "file:lib"])
    def test_one_that_names_other_files_needs_them(self, tmp_path: Path, line: str) -> None:
        (tmp_path / "requirements.txt").write_text(f"{line}\nflask==3.1.3\n")
        assert found(tmp_path).folder_first

    def test_a_repository_needs_git(self, tmp_path: Path) -> None:
        (tmp_path / "requirements.txt").write_text("tool @ git+https://x/y\n")
        assert found(tmp_path).needs_git


class TestAProject:
    def test_its_dependencies_are_pinned_as_installed(self, tmp_path: Path) -> None:
        (tmp_path / "pyproject.toml").write_text(
            '[project]\nname = "shop"\ndependencies = ["Flask[async]>=3", "absent>=1"]\n'
        )
        result = found(tmp_path)
        assert result.pins == ("absent>=1", "asgiref==3.8", "flask==3.1.3", "werkzeug==3.1.9")
        assert not result.complete, "pip has to find out what `absent` requires"
        assert not result.install_folder

    def test_if_it_is_installed_it_is_in_the_image_too(self, tmp_path: Path) -> None:
        (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["flask"]\n')
        shop = distribution("shop", "1.0", url=tmp_path.as_uri())
        result = found(tmp_path, seen(FLASK, WERKZEUG, shop))
        assert result.install_folder
        assert result.pins == ("flask==3.1.3", "werkzeug==3.1.9")

    @pytest.mark.parametrize(
        "text", ["", "[tool.poetry]\n", '[project]\nname = "x"\ndynamic = ["dependencies"]\n']
    )
    def test_one_that_does_not_say_is_frozen(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "pyproject.toml").write_text(text)
        assert "numpy==2.0" in found(tmp_path).pins

    @pytest.mark.parametrize("text", ["[", '[project]\ndependencies = ["=3"]\n'])
    def test_a_broken_one(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "pyproject.toml").write_text(text)
        with pytest.raises(UsageError, match=r"pyproject\.toml"):
            found(tmp_path)


class TestAFreeze:
    def test_all_of_the_apps_environment(self, tmp_path: Path) -> None:
        git = distribution(
            "tool", url="https://x/y", vcs={"vcs": "git", "commit_id": "abc"}
        )  # fmt: skip
        local = distribution("local", url=(tmp_path / "elsewhere").as_uri())
        archive = distribution("wheel_of", url="https://x/y.whl")
        result = found(tmp_path, seen(FLASK, PIP, git, local, archive))
        assert result.pins == (
            "flask==3.1.3",
            "tool @ git+https://x/y@abc",
            "wheel_of @ https://x/y.whl",
        )
        assert result.needs_git

    def test_of_this_programs_own_only_what_the_app_loads(self, tmp_path: Path) -> None:
        result = found(tmp_path, own=False)
        assert result.pins == ("flask==3.1.3", "werkzeug==3.1.9")
        assert "Look through requirements/app.txt" in result.notes[0]


class TestWhatTheServerNeeds:
    LOCKED = server_lock(CATALOG.deployment("gevent-gunicorn"), ROOT)

    def pins(self, folder: Path, *more: Distribution) -> AppRequirements:
        where = Places(folder / "deploy", folder, ".", (), folder)
        app = OwnApp("shop:app", folder, folder / "bin" / "python")
        return app_requirements(app, seen(FLASK, *more), where, None, self.LOCKED)

    def test_it_is_not_pinned_to_something_else(self, tmp_path: Path) -> None:
        # as httpbin does
        result = self.pins(tmp_path, distribution("greenlet", "2.0.2"))
        assert result.pins == ("flask==3.1.3",)
        (note,) = result.notes
        assert re.fullmatch(r"the image has greenlet==[3-9]\S+, .* and not greenlet==2\.0\.2", note)

    def test_unless_the_app_has_that_server_itself(self, tmp_path: Path) -> None:
        more = (
            distribution("greenlet", "3.2.4"),
            distribution("gevent", "25.9.1", "greenlet>=3.2.2"),
        )
        result = self.pins(tmp_path, *more)
        assert result.pins == ("flask==3.1.3", "gevent==25.9.1", "greenlet==3.2.4")
        assert result.complete
        assert not result.notes


def test_a_packaged_app_is_installed_by_its_name(tmp_path: Path) -> None:
    httpbin = distribution("httpbin", "0.10.2", "flask")
    where = Places(tmp_path / "deploy", tmp_path, None, (), tmp_path)
    app = OwnApp("httpbin:app", tmp_path)
    result = app_requirements(
        app, seen(FLASK, WERKZEUG, OTHER, httpbin, owner="httpbin"), where
    )  # fmt: skip
    assert result.pins == ("flask==3.1.3", "httpbin==0.10.2", "werkzeug==3.1.9")
