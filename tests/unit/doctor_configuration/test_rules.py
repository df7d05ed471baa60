"""Each check finds its bad file, at its line, and leaves the good one alone."""

import string
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.doctor.configuration import CHECKS
from bench.doctor.configuration.model import Limits
from tests.unit.doctor_configuration.configured import check, ids

DATA = Path(__file__).resolve().parents[2] / "data/doctor_configuration"
CASES = {path.stem: tomllib.loads(path.read_text("utf-8")) for path in DATA.glob("*.toml")}
ELSEWHERE = {"gunicorn-unreadable"}
"""Needs an interpreter: test_own_files.py."""


def test_every_check_has_a_case() -> None:
    assert {check.id for check in CHECKS} - ELSEWHERE == CASES.keys()


def test_ids_are_unique() -> None:
    assert len({check.id for check in CHECKS}) == len(CHECKS)


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_bad_one_is_found_where_it_is(tmp_path: Path, name: str) -> None:
    case: Mapping[str, Any] = CASES[name]
    (finding,) = (each for each in check(tmp_path, case["bad"]) if each.check.id == name)
    first = finding.evidence[0]
    assert first.file is not None
    shown = str(Path(first.file).relative_to(tmp_path))
    assert f"{shown}:{first.line}" == case["at"]
    assert first.text in case["bad"][shown]
    assert finding.message
    assert not [field for _, field, _, _ in string.Formatter().parse(finding.fix) if field]


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_good_one_is_left_alone(tmp_path: Path, name: str) -> None:
    assert name not in ids(check(tmp_path, CASES[name]["good"]))


def test_nothing_configured_is_nothing_found(tmp_path: Path) -> None:
    assert check(tmp_path, {"app.py": "import flask\n", "README.md": "web: gunicorn\n"}) == ()


def test_a_kernel_that_does_not_tell_its_limits_is_not_blamed(tmp_path: Path) -> None:
    files = {"Procfile": "web: gunicorn -w 4 -k gevent --backlog 99999 shop:app\n"}
    found = ids(check(tmp_path, files, Limits(somaxconn=None, open_files=None)))
    assert not found & {"backlog-above-somaxconn", "few-files-here"}


@pytest.mark.parametrize(
    ("files", "absent"),
    [
        # a sync worker closes each connection: there is nothing to keep
        (
            {
                "nginx.conf": "upstream a { server b; }\n"
                "server { location / { proxy_pass http://a; } }",
                "Procfile": "web: gunicorn -w 9 shop:app",
            },
            "nginx-no-keepalive",
        ),
        # systemd's 90 s are above gunicorn's 30
        (
            {"a.service": "[Service]\nExecStart=/v/bin/gunicorn -w 4 a:app\n"},
            "stop-grace-too-short",
        ),
        # the stop signal is not the one that reloads
        (
            {
                "uwsgi.ini": "[uwsgi]\nmodule = a\nmaster = true\n",
                "Dockerfile": 'FROM x\nSTOPSIGNAL SIGINT\nCMD ["uwsgi", "--ini", "uwsgi.ini"]\n',
            },
            "uwsgi-term-reloads",
        ),
        # in a container the host's bound does not count, its own does
        (
            {
                "compose.yml": "services:\n  web:\n"
                "    command: [gunicorn, --backlog, '9000', 'a:b']\n"
                "    sysctls: [net.core.somaxconn=9000]\n"
            },
            "backlog-above-somaxconn",
        ),
        # an image from elsewhere may have a user
        (
            {"compose.yml": "services:\n  web:\n    image: shop\n    command: gunicorn a:app\n"},
            "runs-as-root",
        ),
        # tmpfs is memory
        (
            {
                "compose.yml": "services:\n  web:\n    command: gunicorn a:app\n    tmpfs: /tmp\n",
            },
            "gunicorn-tmp-dir",
        ),
    ],
)
def test_what_is_right_in_its_place(tmp_path: Path, files: dict[str, str], absent: str) -> None:
    assert absent not in ids(check(tmp_path, files))


@pytest.mark.parametrize(
    ("files", "present"),
    [
        # Compose grants 10 s, and gunicorn takes up to 30
        (
            {"compose.yml": "services:\n  web:\n    command: gunicorn a:app\n"},
            "stop-grace-too-short",
        ),
        (
            {
                "k8s/web.yml": "apiVersion: apps/v1\nkind: Deployment\n"
                "spec:\n  template:\n    spec:\n"
                "      containers:\n      - name: web\n"
                "        command: [gunicorn, --graceful-timeout, '60', 'a:app']\n"
            },
            "stop-grace-too-short",
        ),
        # an entrypoint script that does not step aside
        (
            {
                "Dockerfile": 'FROM python:3.13\nENTRYPOINT ["/entrypoint.sh"]\n',
                "docker/entrypoint.sh": "#!/bin/sh\nset -e\nflask db upgrade\n"
                "gunicorn -w 4 shop:app\n",
            },
            "shell-form",
        ),
        (
            {"compose.yml": "services:\n  web:\n    environment: {FLASK_DEBUG: '1'}\n"},
            "dev-server-in-compose",
        ),
        # the last word has the command line
        (
            {
                "gunicorn.conf.py": 'worker_class = "gevent"\nworkers = 4\n',
                "Procfile": "web: gunicorn -c gunicorn.conf.py -k eventlet shop:app\n",
            },
            "gunicorn-eventlet",
        ),
    ],
)
def test_what_is_wrong_only_together(tmp_path: Path, files: dict[str, str], present: str) -> None:
    assert present in ids(check(tmp_path, files))
