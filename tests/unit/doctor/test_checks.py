"""The checks over facts: the examples that are only read, and what arithmetic and versions say."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.catalog import load_catalog
from bench.doctor.checks import RULES
from bench.doctor.examine import all_checks, look
from bench.doctor.facts import Engine, Facts, FlaskApp, Secret, uses_gevent
from bench.doctor.findings import Finding
from bench.doctor.importing import IMPORTED
from bench.doctor.sources import Sources
from bench.own_app.app import OwnApp
from tests.unit.doctor.corpus import FOLDER, NEUTRAL, Example, examples, facts_of_source

EXAMPLES = list(examples())
ONLY_FACTS = {
    "gevent-too-old", "pool-of-one", "pool-bounds-requests", "limits-per-process",
    "socketio-workers",
}  # fmt: skip
"""Checks of what no app of a few lines shows: their tests are below."""
CATALOG = load_catalog()
ENGINE = Engine("postgresql", "psycopg2", "postgresql://db/shop", "QueuePool", 5, 10, 30.0)


def facts(*deployments: str, **imported: Any) -> Facts:
    chosen = [CATALOG.deployment(name) for name in deployments or ("gevent-uwsgi",)]
    return Facts(
        OwnApp("shop:app", Path("/srv/shop")), chosen, replace(NEUTRAL, **imported), Sources({})
    )


def found(given: Facts) -> list[tuple[str, str]]:
    return [(each.check.id, each.message) for each in look(given)]


def only(given: Facts) -> Finding:
    every = list(look(given))
    assert len(every) == 1, every
    return every[0]


@pytest.mark.parametrize(
    "example", [e for e in EXAMPLES if e.needs == "source"], ids=lambda each: each.id
)
def test_what_is_read(example: Example, tmp_path: Path) -> None:
    findings = list(look(facts_of_source(example, tmp_path)))
    assert {each.check.id for each in findings} == ({example.check} if example.found else set())
    for finding in findings:
        place = finding.evidence[0]
        assert place.file
        assert place.line
        assert place.text == Path(place.file).read_text().splitlines()[place.line - 1].strip()
        assert finding.fix


def test_every_check_has_examples_of_both_kinds() -> None:
    for wanted in (True, False):
        has = {example.check for example in EXAMPLES if example.found is wanted}
        assert {rule.check.id for rule in RULES} == has | ONLY_FACTS
        assert not has & ONLY_FACTS


def test_no_id_is_given_twice() -> None:
    names = [check.id for check in all_checks()]
    assert len(names) == len(set(names))
    assert all(name == name.lower() and " " not in name for name in names)


def test_every_text_ends_as_a_sentence() -> None:
    for check in (rule.check for rule in RULES):
        assert check.why.endswith("."), check.id
        assert not check.title.endswith("."), check.id
        assert check.source, check.id
        assert check.fix, check.id


def test_an_app_in_order_shows_nothing() -> None:
    assert found(facts("gevent-uwsgi", "nginx-gunicorn", "sync-gunicorn", "devserver")) == []


def test_gunicorn_refuses_an_older_gevent() -> None:
    finding = only(facts("gevent-gunicorn", gevent="24.2.1"))
    assert finding.check.id == "gevent-too-old"
    assert "gevent-gunicorn would not start with gevent 24.2.1" in finding.message
    assert found(facts("gevent-gunicorn", gevent="24.10.1")) == []
    assert found(facts("gevent-uwsgi", gevent="24.2.1")) == []
    older = {"gunicorn": "23.0.0"}
    assert found(facts("gevent-gunicorn", gevent="24.2.1", distributions=older)) == []
    newer = {"gunicorn": "27.0.1"}
    assert found(facts("gevent-gunicorn", gevent="24.2.1", distributions=newer)) != []


def test_psycogreen_is_missing() -> None:
    finding = only(facts(psycogreen_error="ModuleNotFoundError: No module named 'psycogreen'"))
    assert finding.check.id == "psycopg2-not-green"
    assert "-m pip install psycogreen" in finding.fix
    assert found(facts("sync-uwsgi", gevent=None)) == []


@pytest.mark.parametrize("pool", ["StaticPool", "SingletonThreadPool", "AssertionPool"])
def test_an_engine_of_one_connection(pool: str) -> None:
    one = replace(ENGINE, pool=pool, size=None, overflow=None)
    assert only(facts(engines=(one,))).check.id == "pool-of-one"
    in_memory = replace(one, dialect="sqlite", url="sqlite://")
    assert found(facts(engines=(in_memory,))) == []


def test_a_pool_bounds_what_a_worker_does_at_once() -> None:
    finding = only(facts(engines=(ENGINE,)))
    assert finding.check.id == "pool-bounds-requests"
    assert finding.check.severity == "note"
    assert "15 connections per worker for 2000 requests: the others wait up to 30 s" in (
        finding.message
    )
    assert found(facts("sync-gunicorn", engines=(ENGINE,))) == []


@pytest.mark.parametrize(
    ("deployment", "size", "overflow", "workers", "total"),
    [
        ("gevent-uwsgi", 5, 10, 4, None),  # 60
        ("gevent-uwsgi", 14, 10, 4, None),  # 96
        ("gevent-uwsgi", 15, 10, 4, 100),
        ("gevent-uwsgi", 5, 10, 8, 120),
        ("gevent-pywsgi", 90, 7, None, None),
        ("gevent-pywsgi", 90, 8, None, 98),
        ("sync-gunicorn", 100, 100, 4, 200),  # no more than it has threads
        ("devserver", 500, 0, None, None),  # it is one thread
    ],
)
def test_connections_of_all_workers(
    deployment: str, size: int, overflow: int, workers: int | None, total: int | None
) -> None:
    chosen = CATALOG.deployment(deployment).with_settings(workers=workers)
    given = facts(engines=(replace(ENGINE, size=size, overflow=overflow),))
    every = [f for f in look(replace(given, deployments=[chosen])) if f.check.severity != "note"]
    assert [each.check.id for each in every] == (["pool-exceeds-server"] if total else [])
    if total:
        assert f"= {total}, above the 97 of postgresql" in every[0].message
        assert f"to {97 // chosen.processes} or less" in every[0].fix


def test_a_pool_without_a_bound_is_not_guessed_at() -> None:
    endless = replace(ENGINE, overflow=-1)
    assert endless.most is None
    assert found(facts(engines=(endless,))) == []


def test_what_is_kept_in_one_of_several_processes() -> None:
    settings = FlaskApp(secret=Secret("x", short=False, public=False))
    for name, check in (
        ("limiter_in_memory", "limits-per-process"),
        ("socketio", "socketio-workers"),
    ):
        shown: dict[str, Any] = {name: True}
        given = replace(settings, **shown)
        assert only(facts(flask_app=given)).check.id == check
        assert found(facts("gevent-pywsgi", flask_app=given)) == []


def test_an_engine_shows_its_driver() -> None:
    mysql = replace(ENGINE, dialect="mysql", driver="mysqldb", url="mysql://db/shop")
    given = facts(engines=(mysql,), drivers=("MySQLdb",))
    (finding,) = (each for each in look(given) if each.check.severity != "note")
    assert finding.check.id == "blocking-driver"
    assert "PyMySQL" in finding.fix
    assert finding.evidence[0].text == "engine mysql://db/shop"
    # loaded by some library, and not used by the app
    assert found(facts(drivers=("MySQLdb", "pyodbc"))) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gevent-uwsgi", True), ("gevent-gunicorn", True), ("gevent-pywsgi", True),
        ("nginx-uwsgi", True), ("nginx-gunicorn", True), ("sync-uwsgi", False),
        ("sync-gunicorn", False), ("devserver", False), ("devserver-threaded", False),
        ("peer-granian-starlette", False),
    ],
)  # fmt: skip
def test_who_patches(name: str, expected: bool) -> None:
    assert uses_gevent(CATALOG.deployment(name)) is expected


def test_the_same_for_several_deployments_is_said_once() -> None:
    debug = replace(NEUTRAL.flask_app or FlaskApp(), debug=True)
    names: Sequence[str] = ("gevent-uwsgi", "gevent-gunicorn", "sync-gunicorn")
    assert [check for check, _ in found(facts(*names, flask_app=debug))] == ["debug-on"]


def test_extensions_that_are_not_installed_here() -> None:
    """SQLAlchemy, Flask-Limiter, Flask-SocketIO and APScheduler, as a real import showed them."""
    shown = json.loads((FOLDER / "extensions.json").read_text("utf-8"))
    given = replace(facts(), imported=IMPORTED.validate_python(shown))
    assert given.imported.unseen == {}
    assert sorted(check for check, _ in found(given)) == [
        "limits-per-process", "pool-bounds-requests", "pool-exceeds-server", "pool-of-one",
        "socketio-workers", "thread-at-import",
    ]  # fmt: skip
    texts = [each.evidence[0].text for each in look(given)]
    assert "postgresql+psycopg2://shop:***@other/shop: StaticPool()" in texts
    assert not any("password" in text for text in texts)
