"""Where the app and what is written are, relative to each other."""

from pathlib import Path

import pytest

from bench.eject.look import Seen
from bench.eject.places import Places, places
from bench.errors import UsageError
from bench.own_app.app import OwnApp
from tests.unit.eject.ejections import distribution, seen


def found(home: Path, target: Path, spec: str = "shop.wsgi:app", **changes: object) -> Places:
    file = changes.pop("file", home / "shop" / "wsgi.py")
    return places(OwnApp(spec, home), seen(file=file, **changes), target)


@pytest.fixture(name="home")
def _home(tmp_path: Path) -> Path:
    home = tmp_path / "work" / "home"
    home.mkdir(parents=True)
    return home


def test_in_the_apps_folder(home: Path) -> None:
    where = found(home, home / "deploy")
    assert (where.context, where.app, where.deploy) == (home, ".", "deploy")
    assert (where.from_home, where.from_target, where.search) == ("deploy", "..", ())


def test_deeper_in_it(home: Path) -> None:
    (home / "ops").mkdir()
    where = found(home, home / "ops" / "deploy")
    assert (where.deploy, where.from_target) == ("ops/deploy", "../..")


def test_beside_it(home: Path) -> None:
    where = found(home, home.parent / "deploy")
    assert (where.context, where.app, where.deploy) == (home.parent, "home", "deploy")
    assert (where.from_home, where.from_target) == ("../deploy", "..")


@pytest.mark.parametrize(
    ("spec", "file"),
    [
        ("shop.wsgi:app", "src/shop/wsgi.py"),
        ("shop:app", "src/shop/__init__.py"),
        ("shop:app", "src/shop.py"),
    ],
)
def test_modules_below_it_are_searched_for(home: Path, spec: str, file: str) -> None:
    assert found(home, home / "deploy", spec, file=home / file).search == ("src",)


def test_an_installed_package_has_no_folder(home: Path) -> None:
    file = home / ".venv/lib/python3.12/site-packages/shop/wsgi.py"
    where = places(
        OwnApp("shop.wsgi:app", home),
        seen(distribution("shop"), file=file, owner="shop"),
        home / "deploy",
    )
    assert (where.context, where.app, where.deploy) == (home, None, "deploy")


def test_one_that_was_installed_from_its_folder_has(home: Path) -> None:
    file = home / ".venv/lib/python3.12/site-packages/shop/wsgi.py"
    shop = distribution("shop", url=home.as_uri())
    where = places(
        OwnApp("shop.wsgi:app", home), seen(shop, file=file, owner="shop"), home / "deploy"
    )
    assert (where.app, where.search) == (".", ())


class TestRefused:
    def test_a_file(self, home: Path) -> None:
        (home / "deploy").write_text("")
        with pytest.raises(UsageError, match="is a file"):
            found(home, home / "deploy")

    def test_a_folder_in_none(self, home: Path) -> None:
        with pytest.raises(UsageError, match="there is no folder"):
            found(home, home / "no" / "deploy")

    @pytest.mark.parametrize("up", [0, 1])
    def test_the_apps_folder_itself_or_one_around_it(self, home: Path, up: int) -> None:
        with pytest.raises(UsageError, match="holds the app itself"):
            found(home, [home, *home.parents][up])

    def test_somewhere_else(self, home: Path, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="neither in the app's folder"):
            found(home, tmp_path / "deploy")

    def test_a_name_that_needs_quotes(self, home: Path) -> None:
        with pytest.raises(UsageError, match="would need quotes"):
            found(home, home / "my deploy")

    def test_an_app_from_another_folder(self, home: Path) -> None:
        with pytest.raises(UsageError, match="say --app-dir /elsewhere"):
            found(home, home / "deploy", file=Path("/elsewhere/shop/wsgi.py"))

    def test_where_nobody_may_write(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.access", lambda *_: False)  # root may
        with pytest.raises(UsageError, match="you may not write"):
            found(home, home / "deploy")


def test_what_the_app_answers() -> None:
    app: Seen = seen(statuses={"/healthz": 200, "/readyz": 503, "/": 404})
    assert app.answers("/healthz")
    assert app.answers("/readyz"), "it is there, and the database is not"
    assert not app.answers("/")
    assert not app.answers("/unknown")
