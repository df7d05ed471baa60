"""What has to be installed beside an app, and what cannot serve it."""

from pathlib import Path

import pytest

from bench.catalog import load_catalog
from bench.errors import UsageError
from bench.own_app.app import OwnApp
from bench.own_app.needs import AppFacts, lacking, require, unsuitable

CATALOG = load_catalog()
FLASK = AppFacts("flask", "3.12.1", {})
WSGI = AppFacts("wsgi", "3.12.1", {})


@pytest.mark.parametrize(
    ("installed", "names", "missing"),
    [
        ((), ("gevent-uwsgi",), ("pyuwsgi", "gevent")),
        (("gevent", "uwsgi"), ("gevent-uwsgi", "sync-uwsgi"), ()),
        (("pyuwsgi",), ("sync-uwsgi",), ()),
        ((), ("sync-gunicorn",), ("gunicorn",)),
        (("gunicorn",), ("sync-gunicorn", "gevent-gunicorn"), ("gevent", "packaging")),
        (("gunicorn", "gevent", "packaging"), ("gevent-gunicorn",), ()),
        (("gevent",), ("gevent-pywsgi",), ()),
        (("flask",), ("devserver",), ()),
        (("gevent", "psycopg2"), ("gevent-pywsgi",), ("psycogreen",)),
        (("gevent", "psycopg2-binary", "psycogreen"), ("gevent-pywsgi",), ()),
        (("gunicorn", "psycopg2"), ("sync-gunicorn",), ()),
        (("gevent", "psycopg"), ("gevent-pywsgi",), ()),
    ],
)
def test_what_is_lacking(
    installed: tuple[str, ...], names: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    assert lacking(installed, [CATALOG.deployment(name) for name in names]) == missing


def test_the_error_is_the_line_that_installs_it(tmp_path: Path) -> None:
    app = OwnApp("shop:app", tmp_path, Path("/srv/shop/.venv/bin/python"))
    with pytest.raises(UsageError) as error:
        require(app, FLASK, [CATALOG.deployment("gevent-gunicorn")])
    assert "/srv/shop/.venv/bin/python -m pip install gunicorn gevent packaging" in str(error.value)
    assert "gevent-gunicorn" in str(error.value)


@pytest.mark.parametrize(
    ("name", "facts", "suits"),
    [
        ("gevent-uwsgi", WSGI, True),
        ("nginx-gunicorn", WSGI, True),
        ("devserver", FLASK, True),
        ("devserver", WSGI, False),
        ("devserver-threaded", WSGI, False),
        ("gevent-uwsgi-blocking", FLASK, False),
        ("peer-sanic", FLASK, False),
        ("gevent-uwsgi@urllib3", FLASK, False),
        ("gevent-uwsgi@ares", FLASK, True),
    ],
)
def test_what_suits_an_app(name: str, facts: AppFacts, suits: bool) -> None:
    assert (unsuitable(CATALOG.deployment(name), facts) is None) == suits
