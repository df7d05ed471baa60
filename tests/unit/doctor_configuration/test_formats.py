"""What each format says, and where; what is cut short is an error that names the file."""

from pathlib import Path

import pytest

from bench.doctor.configuration import find
from bench.doctor.configuration.formats import dockerfile, gunicorn, nginx, systemd, uwsgi
from bench.doctor.configuration.formats.commands import shell_commands, started
from bench.doctor.configuration.formats.durations import seconds
from bench.doctor.configuration.formats.located_yaml import read_yaml
from bench.doctor.configuration.formats.text import TextFile
from bench.doctor.configuration.model import Directive, Supervisor
from bench.errors import UsageError
from tests.unit.doctor_configuration.configured import known, write


def text(content: str, name: str = "file") -> TextFile:
    return TextFile(Path("/app") / name, name, content)


# ---- command lines ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "kind", "arguments"),
    [
        ("gunicorn -w 4 a:b", "gunicorn", ("-w", "4", "a:b")),
        ("/venv/bin/gunicorn a:b", "gunicorn", ("a:b",)),
        ("exec poetry run gunicorn a:b", "gunicorn", ("a:b",)),
        ("PORT=1 env A=2 python3 -m gunicorn a:b", "gunicorn", ("a:b",)),
        ("tini -- gosu app uwsgi --ini a.ini", "uwsgi", ("--ini", "a.ini")),
        ("nice -n 5 uwsgi a.ini", "uwsgi", ("a.ini",)),
        ("sudo -u app nginx", "nginx", ()),
        ("flask --app a run --debug", "flask", ("--app", "a", "run", "--debug")),
        ("python -u app.py --port 1", "python", ("app.py", "--port", "1")),
        ("sh -c 'cd /app && exec gunicorn a:b'", "gunicorn", ("a:b",)),
        ("newrelic-admin run-program gunicorn a:b", "gunicorn", ("a:b",)),
    ],
)
def test_the_server_is_found_behind_its_launchers(
    line: str, kind: str, arguments: tuple[str, ...]
) -> None:
    ((words, _),) = shell_commands(line)
    found = started(words)
    assert found is not None
    assert (found.kind, found.arguments) == (kind, arguments)


@pytest.mark.parametrize(
    "line",
    ["pip install gunicorn uwsgi", "flask db upgrade", "echo gunicorn", "celery -A a worker"],
)
def test_what_only_names_a_server_starts_none(line: str) -> None:
    assert [started(words) for words, _ in shell_commands(line)] == [None]


@pytest.mark.parametrize(
    ("line", "behind"),
    [("sh -c 'gunicorn a:b'", True), ("sh -c 'exec gunicorn a:b'", False), ("gunicorn a:b", False)],
)
def test_a_shell_in_between_is_seen(line: str, behind: bool) -> None:
    ((words, _),) = shell_commands(line)
    found = started(words)
    assert found is not None
    assert found.behind_shell is behind


def test_defaults_of_variables_are_filled_in() -> None:
    ((words, _),) = shell_commands("gunicorn -w ${WORKERS:-3} -b :$PORT")
    assert words == ("gunicorn", "-w", "3", "-b", ":$PORT")


@pytest.mark.parametrize(
    ("written", "meant"),
    [("45", 45), ("1m30s", 90), ("1min 30s", 90), ("500ms", 0.5), ("2h", 7200)],
)
def test_durations(written: str, meant: float) -> None:
    assert seconds(written) == meant


@pytest.mark.parametrize("written", ["", "soon", "5 parsecs", "1m,"])
def test_what_is_no_duration(written: str) -> None:
    assert seconds(written) is None


# ---- gunicorn --------------------------------------------------------------------------------


def test_arguments_of_gunicorn() -> None:
    place = text("x").at(1)
    settings, config = gunicorn.read_arguments(
        ["-w4", "-k", "gevent", "--keep-alive=30", "--preload", "-c", "file:g.py", "a:b"], place
    )
    assert config == "g.py"
    assert {each.name: each.value for each in settings.given} == {
        "workers": "4",
        "worker_class": "gevent",
        "keepalive": "30",
        "preload_app": True,
        "wsgi_app": "a:b",
    }


@pytest.mark.parametrize(
    ("source", "first"),
    [
        ("from gevent import monkey\nmonkey.patch_all()\nimport requests", True),
        ('"""Text."""\nimport os\nimport gevent.monkey\ngevent.monkey.patch_all()', True),
        ("import requests\nfrom gevent import monkey\nmonkey.patch_all()", False),
        ("from . import x\nfrom gevent import monkey\nmonkey.patch_all()", False),
        ("def late():\n    monkey.patch_all()", False),
    ],
)
def test_patching_first(source: str, first: bool) -> None:
    assert gunicorn.as_written(text(source)).patches_first is first


def test_lines_of_settings_under_a_condition() -> None:
    written = gunicorn.as_written(text("if True:\n    timeout = 60\nworkers: int = 3\n"))
    assert [(each.name, each.evidence.line) for each in written.settings.given] == [
        ("timeout", 2),
        ("workers", 3),
    ]


# ---- uWSGI -----------------------------------------------------------------------------------

CONDITIONAL = """\
[other]
listen = 1
[uwsgi]
; a comment
listen = 100
if-env = BACKLOG
listen = %(_)
endif =
if-not-env = BACKLOG
need-app = true
endif =
http_socket = $(BIND)
"""


def test_conditions_of_an_ini_hold_for_the_environment() -> None:
    file = text(CONDITIONAL)
    without = uwsgi.read_ini(file, {})
    assert without.number("listen", default=0) == 100
    assert without.on("need-app")
    given = uwsgi.read_ini(file, {"BACKLOG": "512", "BIND": ":80"})
    last = given.last("listen")
    assert last is not None
    assert (last.number, last.evidence.line) == (512, 7)
    assert not given.on("need-app")
    assert given.text("http-socket") == ":80"


def test_arguments_of_uwsgi() -> None:
    settings, files = uwsgi.read_arguments(
        ["--master", "app.ini", "-p", "4", "--gevent=100", "--http-socket", ":80"], text("x").at(1)
    )
    assert files == ("app.ini",)
    assert settings.on("master")
    assert settings.number("workers", default=1) == 4
    assert settings.number("gevent", default=0) == 100
    assert settings.text("http-socket") == ":80"


# ---- nginx -----------------------------------------------------------------------------------


def test_nginx_is_a_tree() -> None:
    file = nginx.read_nginx(
        text(
            "upstream app { server ${APP_BIND} max_fails=0; } # a comment; with {\n"
            'server {\n  listen ${BIND} backlog=${BACKLOG};\n  add_header X "a; b { c";\n'
            "  location ~ ^/(a|b)$ { return 200 'it\\'s'; }\n}\n"
        )
    )
    upstream, server = file.block
    assert upstream.inside("server")[0].arguments == ("${APP_BIND}", "max_fails=0")
    assert server.inside("listen")[0].arguments == ("${BIND}", "backlog=${BACKLOG}")
    assert server.inside("add_header")[0].arguments == ("X", "a; b { c")
    (location,) = server.inside("location")
    assert location.arguments == ("~", "^/(a|b)$")
    assert location.evidence.line == 5
    assert isinstance(location, Directive)


@pytest.mark.parametrize("content", ["server {", "server { listen 80 }", "}", 'a "b;\n', "a b"])
def test_nginx_cut_short_is_an_error(content: str) -> None:
    with pytest.raises(UsageError, match="file"):
        nginx.read_nginx(text(content))


# ---- Dockerfile ------------------------------------------------------------------------------

DOCKERFILE = """\
ARG IMAGE=python:3.13
FROM ${IMAGE} AS base
ENV A=1 \\
    # in between
    B="two words"
USER app
FROM base AS web
RUN <<EOF
USER root
CMD wrong
EOF
ENTRYPOINT ["tini", "--"]
CMD ["gunicorn", \\
     "a:b"]
FROM base AS job
ENV C 3 4
CMD python job.py | tee log
"""


def stage(target: str | None) -> Supervisor:
    found = dockerfile.read_dockerfile(text(DOCKERFILE), target)
    assert found is not None
    return found


def test_a_stage_has_what_the_one_below_has() -> None:
    web = stage("web")
    assert web.settings.text("user") == "app"
    assert web.environment == {"A": "1", "B": "two words"}
    (command,) = web.commands
    assert command.words == ("tini", "--", "gunicorn", "a:b")
    assert not command.behind_shell


def test_the_last_stage_is_the_image() -> None:
    job = stage(None)
    assert job.name == "job"
    assert job.environment["C"] == "3 4"
    assert all(command.behind_shell for command in job.commands)
    assert job.commands[0].evidence.line == 17


def test_an_unknown_stage_is_none() -> None:
    assert dockerfile.read_dockerfile(text(DOCKERFILE), "nobody") is None


# ---- systemd, YAML, Compose ------------------------------------------------------------------


def test_a_unit(tmp_path: Path) -> None:
    unit = systemd.read_unit(
        text(
            "[Unit]\nUser=nobody\n[Service]\nDynamicUser=yes\nTimeoutStopSec=1min 5s\n"
            "LimitNOFILE=1024:4096\nEnvironment=A=1 'B=2 3'\n"
            "ExecStart=-/v/bin/uwsgi \\\n  --ini a.ini\n"
        ),
        tmp_path,
    )
    assert unit is not None
    assert unit.settings.number("stop-grace", default=0) == 65
    assert unit.settings.number("nofile", default=0) == 1024
    assert unit.settings.text("user") == "of its own"
    assert unit.environment == {"A": "1", "B": "2 3"}
    assert unit.commands[0].words == ("/v/bin/uwsgi", "--ini", "a.ini")


def test_a_unit_is_what_its_drop_ins_make_of_it(tmp_path: Path) -> None:
    files = {
        "deploy/web.service": "[Service]\nUser=root\nExecStart=/v/bin/gunicorn a:b\n",
        "deploy/web.service.d/20-later.conf": "[Service]\nUser=shop\n",
        "deploy/web.service.d/10-first.conf": "[Service]\nUser=nobody\nExecStart=\n"
        "ExecStart=/v/bin/gunicorn -k gevent a:b\n",
    }
    (server,) = known(tmp_path, files).servers
    assert server.settings.text("worker_class") == "gevent"
    assert str(server.evidence.file).endswith("10-first.conf")
    assert server.supervisor is not None
    assert server.supervisor.settings.text("user") == "shop"


def test_yaml_knows_its_lines() -> None:
    (content,) = read_yaml(text("x: &x {a: 1}\ny:\n  <<: *x\n  b: !tag 2\n"))
    inner = content.within("y")
    assert inner == {"a": 1, "b": "2"}
    assert inner.lines["b"] == 4


def test_what_is_no_yaml_is_an_error() -> None:
    with pytest.raises(UsageError, match="no valid YAML"):
        read_yaml(text("a: [1"))


COMPOSE = {
    "base.yml": "services:\n  app:\n    user: '5'\n    stop_grace_period: 40s\n"
    "    environment: [A=1]\n",
    "compose.yml": "services:\n  web:\n    extends: {file: base.yml, service: app}\n"
    "    build: {context: ., target: web}\n    environment: {B: '${X:-2}'}\n",
    "Dockerfile": 'FROM python AS web\nUSER 7\nENV C=3\nCMD ["gunicorn", "a:b"]\n'
    'FROM web\nCMD ["x"]\n',
}


def test_a_service_has_what_it_extends_and_what_it_builds(tmp_path: Path) -> None:
    facts = known(tmp_path, COMPOSE)
    (web,) = (each for each in facts.supervisors if each.name == "web" and each.kind == "compose")
    assert web.settings.text("user") == "5"
    assert web.settings.number("stop-grace", default=10) == 40
    assert web.environment == {"A": "1", "B": "2", "C": "3"}
    assert [server.kind for server in facts.servers if server.supervisor == web] == ["gunicorn"]


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ("command: [-w, '4', 'a:b']", "tini -- gunicorn -w 4 a:b"),
        ("entrypoint: [gunicorn]", "gunicorn"),
        ("entrypoint: [gunicorn]\n    command: -w 4 a:b", "gunicorn -w 4 a:b"),
        ("user: '5'", "tini -- gunicorn x:y"),
    ],
)
def test_a_command_follows_the_entrypoint_of_its_image(
    tmp_path: Path, service: str, words: str
) -> None:
    files = {
        "compose.yml": f"services:\n  web:\n    build: .\n    {service}\n",
        "Dockerfile": 'FROM a\nENTRYPOINT ["tini", "--", "gunicorn"]\nCMD ["x:y"]\n',
    }
    found = known(tmp_path, files).supervisors
    (web,) = (each for each in found if each.kind == "compose")
    assert " ".join(web.commands[0].words) == words


SCRIPT = """\
#!/bin/bash
HYPHEN='-'
export WORKERS=${WORKERS:-3} CLASS=gevent
flask db upgrade
if [ "$DEBUG" = true ]; then
    exec gunicorn --reload a:b
else
    exec gunicorn --workers $WORKERS -k "${CLASS}" \\
        --access-logfile "${LOG:-$HYPHEN}" --bind ":$PORT" a:b
fi
"""


def test_of_a_script_the_last_branch_counts_with_its_variables(tmp_path: Path) -> None:
    files = {
        "Dockerfile": 'FROM x\nCMD ["ignored"]\nENTRYPOINT ["/entrypoint"]\n',
        "docker/web/entrypoint": SCRIPT,
    }
    (server,) = known(tmp_path, files).servers
    assert server.supervisor is not None
    assert server.supervisor.kind == "docker"
    assert {each.name: each.value for each in server.settings.given} == {
        "workers": "3",
        "worker_class": "gevent",
        "accesslog": "-",
        "bind": ":$PORT",
        "wsgi_app": "a:b",
    }
    assert server.evidence.line == 8


# ---- which files -----------------------------------------------------------------------------


def test_only_what_configures_a_server_is_found(tmp_path: Path) -> None:
    files = {
        "gunicorn.conf.py": "workers = 2\nbind = ':80'\n",
        "app.py": "workers = 2\ntimeout = 5\n",
        "deploy/app.service": "[Service]\nExecStart=/bin/true\n",
        "setup.ini": "[tool]\na = 1\n",
        "ci.yml": "jobs: {}\n",
        "broken.yml": "a: [\n",
        "logging.conf": "[loggers]\nkeys = root\n",
        "nginx/site.conf": "server { listen 80; }\n",
        "deploy/nginx/shop": "server { listen 81; }\n",
        "conf/cut.conf": "server { listen 80;\n",
        ".venv/uwsgi.ini": "[uwsgi]\n",
        "node_modules/x/Dockerfile": "FROM x\n",
    }
    write(tmp_path, files)
    assert [(kind, file.shown) for kind, file in find.found(tmp_path)] == [
        ("gunicorn", "gunicorn.conf.py"),
        ("systemd", "deploy/app.service"),
        ("nginx", "deploy/nginx/shop"),
        ("nginx", "nginx/site.conf"),
    ]


def test_a_file_that_is_named_has_to_be_one(tmp_path: Path) -> None:
    write(tmp_path, {"notes.txt": "server { listen 80; }\n"})
    with pytest.raises(UsageError, match=r"notes\.txt configures no server.*Dockerfile"):
        list(find.named([tmp_path / "notes.txt"], tmp_path))
    with pytest.raises(UsageError, match="cannot be read"):
        list(find.named([tmp_path / "missing.ini"], tmp_path))
