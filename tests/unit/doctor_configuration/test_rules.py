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
        # what uWSGI's gevent = 500 is short for
        (
            {"uwsgi.ini": "[uwsgi]\nmodule = a:b\nloop = gevent\nasync = 500\nharakiri = 30\n"},
            "uwsgi-harakiri-gevent",
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


DJANGO = "#!/bin/sh\nset -e\npython manage.py migrate\n"


@pytest.mark.parametrize(
    ("files", "absent"),
    [
        # a command that comes to an end is no server
        (
            {
                "Dockerfile": 'FROM a\nENTRYPOINT ["/entrypoint.sh"]\nCMD ["gunicorn", "a:b"]\n',
                "entrypoint.sh": f'{DJANGO}exec "$@"\n',
            },
            "shell-form",
        ),
        (
            {"Dockerfile": "FROM a\nCMD python manage.py migrate && exec gunicorn a:b\n"},
            "shell-form",
        ),
        # what a shell works out
        (
            {
                "Dockerfile": "FROM a\nUSER app\nCMD exec gunicorn -w $(nproc) -k gevent"
                " --worker-tmp-dir /dev/shm app:app\n"
            },
            "gunicorn-sync",
        ),
        (
            {"Procfile": "web: gunicorn --workers $((2 * $(nproc) + 1)) -k gevent app:app\n"},
            "gunicorn-sync",
        ),
        # Flask-SocketIO's location
        (
            {
                "nginx.conf": "upstream app { server b; keepalive 64; }\n"
                "server { location /socket.io { proxy_http_version 1.1;\n"
                'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "Upgrade";\n'
                "proxy_pass http://app/socket.io; } }\n",
                "Procfile": "web: gunicorn -k gevent a:b\n",
            },
            "nginx-http-1-0",
        ),
        # the app patches before anything else
        (
            {
                "Procfile": "web: gunicorn --preload -w 4 -k gevent wsgi:app\n",
                "wsgi.py": "from gevent import monkey\nmonkey.patch_all()\nfrom shop import app\n",
            },
            "gunicorn-preload-unpatched",
        ),
        # it patches in a module of its own
        (
            {
                "uwsgi.ini": "[uwsgi]\nmodule = shop.wsgi:app\ngevent = 500\n",
                "shop/wsgi.py": "import os\nimport shop.patch\nfrom shop import app\n",
                "shop/patch.py": "from gevent import monkey\nmonkey.patch_all()\n",
            },
            "uwsgi-gevent-unpatched",
        ),
        # WEB_CONCURRENCY is only the default
        (
            {
                "Dockerfile": 'FROM a\nENV WEB_CONCURRENCY=1\nCMD ["gunicorn", "a:b"]\n',
                "gunicorn.conf.py": "workers = 4\n",
            },
            "gunicorn-one-at-a-time",
        ),
        (
            {
                "Dockerfile": "FROM a\nENV GUNICORN_CMD_ARGS='--config /app/gunicorn_config.py'\n"
                'CMD ["gunicorn", "a:b"]\n',
                "gunicorn_config.py": "workers = 4\n",
            },
            "gunicorn-one-at-a-time",
        ),
        # flags that take no value
        (
            {"Procfile": "web: gunicorn --no-sendfile --workers 4 -k gthread --threads 9 a:b\n"},
            "gunicorn-one-at-a-time",
        ),
        # files that are elsewhere, or include others
        ({"a.service": "[Service]\nExecStart=/v/bin/uwsgi --ini /etc/a.ini\n"}, "uwsgi-no-master"),
        (
            {
                "a.service": "[Service]\nExecStart=/v/bin/uwsgi --ini uwsgi.ini:uwsgi\n",
                "uwsgi.ini": "[uwsgi]\nmodule = a:b\nmaster = true\n",
            },
            "uwsgi-no-master",
        ),
        ({"uwsgi.ini": "[uwsgi]\nini = %dbase.ini\nmodule = a:b\n"}, "uwsgi-no-master"),
        ({"uwsgi.ini": "[uwsgi]\nemperor = /etc/uwsgi/vassals\n"}, "uwsgi-no-master"),
        # made for development
        ({"Dockerfile.dev": 'FROM a\nCMD ["flask", "run", "--debug"]\n'}, "dev-server"),
        ({"Procfile.dev": "web: flask run --debug\n"}, "debug-in-production"),
        # root is given up on the way
        (
            {
                "Dockerfile": 'FROM a\nENTRYPOINT ["/entrypoint.sh"]\n',
                "entrypoint.sh": "#!/bin/sh\nexec gosu app gunicorn a:b\n",
            },
            "runs-as-root",
        ),
        # memory by another name
        (
            {
                "web.yml": "apiVersion: apps/v1\nkind: Deployment\nspec: {template: {spec: {\n"
                "  volumes: [{name: tmp, emptyDir: {medium: Memory}}],\n"
                "  containers: [{name: web, command: [gunicorn, 'a:b'],\n"
                "    volumeMounts: [{name: tmp, mountPath: /tmp}]}]}}}\n"
            },
            "gunicorn-tmp-dir",
        ),
    ],
)
def test_what_people_write_is_understood(
    tmp_path: Path, files: dict[str, str], absent: str
) -> None:
    assert absent not in ids(check(tmp_path, files))


@pytest.mark.parametrize(
    "files",
    [
        # a script in a manifest
        {
            "web.yml": "apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    spec:\n"
            "      containers:\n      - name: web\n        command: [/bin/sh, -c]\n"
            "        args:\n        - |\n          python manage.py migrate\n"
            "          exec gunicorn -k eventlet a:b\n"
        },
        {
            "compose.yml": "services:\n  web:\n"
            "    command: [./wait-for-it.sh, 'db:5432', --, gunicorn, -k, eventlet, 'a:b']\n"
        },
        {"Procfile": "web: gunicorn -w $(nproc) -k eventlet a:b\n"},
        {"Dockerfile": 'FROM a\nENTRYPOINT ["/x.sh"]\nCMD ["gunicorn", "-k", "eventlet", "a:b"]\n'},
    ],
    ids=["script", "wait-for-it", "nproc", "script elsewhere"],
)
def test_a_server_is_found_behind_what_starts_it(tmp_path: Path, files: dict[str, str]) -> None:
    assert "gunicorn-eventlet" in ids(check(tmp_path, files))


@pytest.mark.parametrize(
    "text",
    [
        "kind: [a]\napiVersion: v1\n",
        "when: 2024-13-45\n",
        "services:\n  a: {extends: {service: b}}\n  b: {extends: {service: a}}\n",
    ],
)
def test_a_strange_yaml_file_ends_nothing(tmp_path: Path, text: str) -> None:
    files = {"compose.yml": text, "Procfile": "web: gunicorn -k eventlet a:b\n"}
    assert "gunicorn-eventlet" in ids(check(tmp_path, files))


def test_a_service_is_shown_where_it_stands(tmp_path: Path) -> None:
    text = (
        "services:\n  proxy:\n    image: nginx\n    depends_on:\n      web:\n"
        "        condition: service_started\n  web: &web\n    command: gunicorn a:b\n"
    )
    found = check(tmp_path, {"compose.yml": text})
    (finding,) = (each for each in found if each.check.id == "stop-grace-too-short")
    assert finding.evidence[0].line == 7
