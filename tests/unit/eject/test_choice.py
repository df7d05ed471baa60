"""Which deployments can be ejected, and which files of theirs."""

import pytest

from bench.catalog import ROOT
from bench.eject.choice import copied_files, deployment_to_eject
from bench.errors import UsageError
from tests.unit.eject.ejections import CATALOG, NAMES


def test_those_for_production_can() -> None:
    assert NAMES == (
        "gevent-pywsgi", "sync-gunicorn", "gevent-gunicorn", "sync-uwsgi", "gevent-uwsgi",
        "nginx-gunicorn", "nginx-uwsgi",
    )  # fmt: skip


@pytest.mark.parametrize(
    "name", ["devserver", "devserver-threaded", "gevent-uwsgi-blocking", "peer-sanic"]
)
def test_what_is_there_for_comparison_cannot(name: str) -> None:
    with pytest.raises(UsageError, match="not for production") as error:
        deployment_to_eject(CATALOG, name)
    assert all(each in str(error.value) for each in NAMES)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean gevent-uwsgi"):
        deployment_to_eject(CATALOG, "gevent-uwsg")


@pytest.mark.parametrize(
    "name",
    [
        "gevent-uwsgi@tutorial",
        "gevent-uwsgi@urllib3",
        "gevent-gunicorn@fast-parser",
        "nginx-uwsgi@unix-socket",
        "nginx-gunicorn@no-keepalive",
    ],
)
def test_a_variant_of_the_demo_app_or_of_a_run_cannot(name: str) -> None:
    with pytest.raises(UsageError, match="nothing of it to take home") as error:
        deployment_to_eject(CATALOG, name)
    suggested = str(error.value).rpartition(": ")[2].split(", ")
    assert "one-worker" in suggested
    for variant in suggested:
        deployment_to_eject(CATALOG, f"{name.partition('@')[0]}@{variant}")


@pytest.mark.parametrize("name", NAMES)
def test_the_copies_are_those_that_the_catalog_names(name: str) -> None:
    deployment = CATALOG.deployment(name)
    copies = copied_files(deployment)
    assert sorted(copies.values()) == sorted(deployment.copy)
    assert all((ROOT / source).is_file() for source in copies.values())


def test_a_variants_module_takes_the_place_of_ours() -> None:
    deployment = deployment_to_eject(CATALOG, "gevent-uwsgi@gc-tuned")
    assert copied_files(deployment) == {
        "uwsgi_gevent.ini": "flask_app/uwsgi_gevent.ini",
        "patched.py": "bench/variants/gc_tuned/patched.py",
    }
