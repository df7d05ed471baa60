"""gunicorn's files are evaluated by the app's interpreter; the project's own files are in order."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bench.catalog import load_catalog
from bench.doctor.configuration import check_configuration, examine, find
from bench.doctor.configuration.formats.gunicorn import evaluate
from bench.doctor.configuration.model import Facts
from bench.doctor.configuration.read import facts
from bench.doctor.findings import Finding
from bench.errors import UsageError
from bench.own_app.app import OwnApp
from bench.processes.guardian import Guardian
from tests.unit.doctor_configuration.configured import LIMITS, ids, write

ROOT = Path(__file__).resolve().parents[3]
OWN = [
    *sorted((ROOT / "flask_app").glob("*.ini")),
    *sorted((ROOT / "flask_app").glob("*.conf.py")),
    *sorted((ROOT / "nginx").glob("*.conf")),
    *sorted((ROOT / "compose").glob("*.yml")),
    ROOT / "flask_app/Dockerfile",
    ROOT / "slow_api/Dockerfile",
]


@pytest.fixture(name="guardian", scope="module")
def _guardian() -> Iterator[Guardian]:
    with Guardian() as guardian:
        yield guardian


@pytest.fixture(name="own", scope="module")
def _own(guardian: Guardian) -> Facts:
    folder = ROOT / "flask_app"
    by_interpreter = partial(evaluate, app=OwnApp("app:app", folder), guardian=guardian)
    deployments = tuple(load_catalog().deployments.values())
    return facts(
        find.named(OWN, folder), folder, by_interpreter, limits=LIMITS, deployments=deployments
    )


def test_the_projects_own_files_are_in_order(own: Facts) -> None:
    serious = [f for f in examine(replace(own, deployments=())) if f.check.severity != "note"]
    assert serious == []


def test_they_were_all_understood(own: Facts) -> None:
    compose = {each.name for each in own.supervisors if each.kind == "compose"}
    assert compose == {"app", "nginx", "api", "database"}
    assert len(own.nginx) == 3
    started = [s for s in own.servers if s.supervisor and s.supervisor.kind == "compose"]
    assert {server.kind for server in started} == {"gunicorn", "uwsgi", "flask", "nginx", "python"}
    by_gevent = [s for s in own.of("gunicorn") if s.settings.text("worker_class") == "gevent"]
    assert by_gevent
    for server in by_gevent:
        assert server.settings.number("worker_connections", default=0) == 2000
        assert server.patches_first
        assert server.supervisor is None or server.supervisor.settings.text("user") == "10001:10001"


def test_deployments_are_held_against_the_machine(own: Facts) -> None:
    small = replace(own, limits=replace(LIMITS, somaxconn=128, open_files=1024))
    found = ids(examine(small))
    assert {"backlog-above-somaxconn", "few-files-here"} <= found


def looked_at(
    folder: Path, guardian: Guardian, files: Sequence[Path] = (), **environment: str
) -> tuple[Finding, ...]:
    app = OwnApp("app:app", folder, environment=environment)
    return check_configuration((), files, app, guardian=guardian)


COMPUTED = """\
import multiprocessing
import os

workers = multiprocessing.cpu_count() * 0 + 4
worker_class = "".join(["gev", "ent"])
worker_connections = int(os.environ["CONNECTIONS"])
"""


def test_a_configuration_that_computes_is_evaluated(tmp_path: Path, guardian: Guardian) -> None:
    write(tmp_path, {"gunicorn.conf.py": COMPUTED})
    (finding,) = (
        finding
        for finding in looked_at(tmp_path, guardian, CONNECTIONS="7")
        if finding.check.id == "gunicorn-few-connections"
    )
    assert "7 connections" in finding.message
    place = finding.evidence[0]
    assert (place.file, place.line) == (str(tmp_path / "gunicorn.conf.py"), 6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gunicorn.conf.py"]


def test_one_that_fails_is_told_and_its_constants_are_read(
    tmp_path: Path, guardian: Guardian
) -> None:
    write(tmp_path, {"gunicorn.conf.py": f"reload = True\n{COMPUTED}"})
    findings = looked_at(tmp_path, guardian)
    assert {"gunicorn-unreadable", "gunicorn-reload"} <= ids(findings)
    assert "gunicorn-one-at-a-time" not in ids(findings)
    (failed,) = (each for each in findings if each.check.id == "gunicorn-unreadable")
    assert "KeyError" in failed.message
    assert "CONNECTIONS" in failed.message


def test_one_that_leaves_is_no_end_of_this(tmp_path: Path, guardian: Guardian) -> None:
    write(tmp_path, {"gunicorn.conf.py": "import os\nworkers = 4\nreload = True\nos._exit(3)\n"})
    findings = looked_at(tmp_path, guardian)
    assert {"gunicorn-unreadable", "gunicorn-reload"} <= ids(findings)


def test_files_that_are_named_are_those_looked_at(tmp_path: Path, guardian: Guardian) -> None:
    write(tmp_path, {"a/uwsgi.ini": "[uwsgi]\nmaster = true\n", "Procfile": "web: flask run\n"})
    found = ids(looked_at(tmp_path, guardian, [tmp_path / "a/uwsgi.ini"]))
    assert "uwsgi-term-reloads" in found
    assert "dev-server" not in found
    with pytest.raises(UsageError, match="cannot be read"):
        looked_at(tmp_path, guardian, [tmp_path / "none.ini"])
