"""What is ejected, read by the programs that it is for, and started as its README says."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.catalog import load_catalog
from bench.eject.choice import ejectable
from bench.eject.prepare import EjectRequest, Prepared, carry_out, prepare
from bench.errors import ExitCode, UsageError
from bench.own_app.app import own_app
from bench.processes.guardian import Guardian
from bench.processes.ports import free_port
from bench.services.nginx import find_nginx, nginx
from bench.services.surroundings import Surroundings
from tests.integration.app_support import BIN, Server, Stage, eventually, request
from tests.integration.harness import Ended, run

pytestmark = pytest.mark.integration

NAMES = tuple(d.name for d in ejectable(load_catalog()))
FACTORY, PLAIN = "shop.wsgi:create_app()", "plain:serve"
# Modules that are called as the demo app's are, and an app that is made by a factory.
SHOP = """
import socket
import time

import database, upstream
from flask import Flask


def create_app():
    app = Flask(__name__)

    @app.get("/healthz")
    def healthz():
        return "well"

    @app.get("/state")
    def state():
        return {
            "modules": [database.WHOSE, upstream.WHOSE],
            "patched": socket.socket.__module__.startswith("gevent"),
        }

    @app.get("/slow")
    def slow():
        open(f"{app.root_path}/../slow", "w").close()
        time.sleep(1)
        return "slow"

    return app
"""
WSGI = """
def serve(environ, start_response):
    body = environ["PATH_INFO"].encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.fixture(name="home")
def _home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    (home / "shop").mkdir(parents=True)
    (home / "shop" / "wsgi.py").write_text(SHOP)
    (home / "plain.py").write_text(WSGI)
    for module in ("app", "database", "upstream"):
        (home / f"{module}.py").write_text("WHOSE = 'the shop'\n")
    (home / "requirements.txt").write_text("flask==3.1.3\n")
    return home


@pytest.fixture(name="stage")
def _stage(tmp_path: Path) -> Iterator[Stage]:
    with Guardian() as guardian, ExitStack() as stack:
        yield Stage(tmp_path, guardian, stack)


def asked(home: Path, deployment: str, spec: str = FACTORY, **options: Any) -> EjectRequest:
    python = options.pop("python", None)
    app = own_app(spec, folder=home, python=python, env_file=options.get("env_file"))
    call = f"flask-bench eject {deployment} --app '{spec}'"
    return EjectRequest(deployment, app, call, **options)


def ejected(home: Path, deployment: str, spec: str = FACTORY, **options: Any) -> Prepared:
    prepared = prepare(asked(home, deployment, spec, **options))
    carry_out(prepared)
    return prepared


def local_line(target: Path) -> str:
    """Return the first line that the README has for a shell."""
    return (target / "README.md").read_text().split("\n$ ", 1)[1].splitlines()[0]


def start(stage: Stage, target: Path, home: Path, path: str = "/healthz") -> Server:
    """Start what was ejected as its README says, behind nginx where that is a part of it."""
    port = free_port()
    process = stage.start(
        "server",
        ("sh", "-c", f"exec env {local_line(target)}"),
        {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "BIND": f"127.0.0.1:{port}"},
        home,
    )
    conf = next(iter({*target.glob("nginx/*.conf")} - {target / "nginx" / "nginx.conf"}), None)
    if conf is not None:
        if find_nginx() is None:
            pytest.skip("NGINX IS NOT INSTALLED: what is ejected for it is not started")
        front = free_port()
        (stage.folder / "front").mkdir()
        around = Surroundings(
            folder=stage.folder / "front",
            guardian=stage.guardian,
            root=target,
            python=sys.executable,
        )
        stage.stack.enter_context(
            nginx(
                around,
                config=conf.relative_to(target),
                app_address=f"127.0.0.1:{port}",
                port=front,
                backlog=511,
            )
        )
        port = front
    server = Server(process, port)
    stage.wait(server, path)
    return server


@pytest.mark.parametrize("name", NAMES)
def test_it_starts_and_stops_as_its_readme_says(stage: Stage, home: Path, name: str) -> None:
    ejected(home, name, workers=1)
    server = start(stage, home / "deploy", home)

    assert server.get("/state").json() == {
        "modules": ["the shop", "the shop"],
        "patched": "sync" not in name,
    }
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(server.get, "/slow")
        eventually((home / "slow").exists, "a request is in flight")
        server.term()
        answer = slow.result()
    assert (answer.status, answer.body) == (200, b"slow")
    assert server.process.wait(20) == 0
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("name", ["gevent-pywsgi", "sync-gunicorn", "gevent-uwsgi"])
def test_an_app_that_is_not_flask_from_a_folder_beside(stage: Stage, home: Path, name: str) -> None:
    target = home.parent / "deploy"
    ejected(home, name, PLAIN, workers=1, to=target)
    assert start(stage, target, home, "/a").get("/any/path").body == b"/any/path"


@pytest.mark.parametrize("name", ["sync-gunicorn", "gevent-uwsgi"])
def test_an_app_below_src(stage: Stage, home: Path, name: str) -> None:
    (home / "src").mkdir()
    (home / "plain.py").rename(home / "src" / "plain.py")
    venv.create(home / "venv")
    (packages,) = (home / "venv").glob("lib/python*/site-packages")
    (packages / "shop.pth").write_text(f"{home / 'src'}\n")  # as `pip install -e` does
    ejected(home, name, PLAIN, workers=1, python=home / "venv")
    assert start(stage, home / "deploy", home, "/a").get("/b").body == b"/b"


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("nginx-")])
def test_systemd_can_listen_for_it(stage: Stage, home: Path, name: str) -> None:
    activate = shutil.which("systemd-socket-activate")
    if activate is None:
        pytest.skip("SYSTEMD IS NOT INSTALLED: its way to hand a socket over is not tried")
    ejected(home, name, workers=1)
    port = free_port()
    unit = (home / "deploy" / "systemd" / "shop.service").read_text()
    unit = unit.replace("/srv/shop/.venv/bin", str(BIN)).replace("/srv/shop", str(home))
    lines = [line.partition("=") for line in unit.splitlines()]
    settings = (home / "deploy" / "app.env").read_text().splitlines()
    settings += [word for key, _, value in lines if key == "Environment" for word in value.split()]
    (command,) = [shlex.split(value) for key, _, value in lines if key == "ExecStart"]
    process = stage.start(
        "activated",
        (
            *(activate, "--listen", f"127.0.0.1:{port}"),
            *(f"--setenv={each}" for each in settings if not each.startswith("#")),
            *command,
        ),
        {},
        home,
    )
    # who connects before the server is there waits, and is served
    eventually(lambda: "Listening on" in process.log.read_text(), "systemd listens")
    assert request(port, "/healthz").body == b"well"
    assert request(port, "/state").json()["patched"] == ("sync" not in name)


@pytest.fixture(name="target", params=NAMES, scope="module")
def _target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    (home / "plain.py").write_text(WSGI)
    (home / "requirements.txt").write_text("")
    ejected(home, request.param, PLAIN)
    return home / "deploy"


class TestValidators:
    """One folder per deployment, read by every program that there is for it."""

    def test_hadolint_reads_the_dockerfile(self, target: Path) -> None:
        check(str(BIN / "hadolint"), str(target / "Dockerfile"))

    def test_the_compose_file_is_one(self, target: Path) -> None:
        schema = ("--builtin-schema", "vendor.compose-spec")
        check(str(BIN / "check-jsonschema"), *schema, str(target / "compose.yml"))

    def test_compose_reads_it(self, target: Path) -> None:
        compose = shutil.which("docker-compose")
        if compose is None:
            pytest.skip("DOCKER-COMPOSE IS NOT INSTALLED: it does not read what is ejected")
        said = check(compose, "-f", str(target / "compose.yml"), "config")
        assert "services" in yaml.safe_load(said)

    def test_gunicorn_reads_its_configuration(self, target: Path) -> None:
        for file in target.glob("gunicorn*.conf.py"):
            check(
                *(str(BIN / "gunicorn"), "--check-config", "-c", str(file)),
                cwd=target.parent,
                FLASK_APP=PLAIN,
            )

    def test_systemd_reads_its_units(self, target: Path, tmp_path: Path) -> None:
        analyze = shutil.which("systemd-analyze")
        if analyze is None:
            pytest.skip("SYSTEMD IS NOT INSTALLED: it does not read what is ejected")
        programs = tmp_path / "plain" / ".venv" / "bin"
        programs.mkdir(parents=True)
        for name in ("python", "gunicorn", "uwsgi"):
            (programs / name).symlink_to("/bin/true")
        units = []
        for file in target.glob("systemd/*"):
            units.append(tmp_path / file.name)
            units[-1].write_text(file.read_text().replace("/srv/", f"{tmp_path}/"))
        # it names each setting that it does not know, and each program that is not there
        said = check(analyze, "verify", "--man=no", *map(str, units))
        assert not [line for line in said.splitlines() if "plain." in line]

    def test_kubernetes_reads_its_manifests(self, target: Path) -> None:
        kubernetes_validate = pytest.importorskip(
            "kubernetes_validate",
            reason="KUBERNETES-VALIDATE IS NOT INSTALLED: nobody else reads the manifests",
        )
        for manifest in yaml.safe_load_all((target / "kubernetes.yml").read_text()):
            kubernetes_validate.validate(manifest, "1.31", strict=True)


def check(*command: str, cwd: Path | None = None, **environment: str) -> str:
    """Run a program that has to be content, and return what it said."""
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment},
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    return said


class TestAgain:
    """Written again: what is ours is brought up to date, what is the user's is his."""

    @staticmethod
    def call(home: Path, *more: str, **how: Any) -> Ended:
        return run(home, "eject", "gevent-gunicorn", "--app", FACTORY, *more, **how)

    def test_the_whole_way(self, home: Path) -> None:
        shown = self.call(home, "--diff")
        assert shown.code == ExitCode.REGRESSION
        assert not (home / "deploy").exists()
        assert "+++ b/Dockerfile\n" in shown.out
        assert "\x1b[" not in shown.out

        written = json.loads(self.call(home, "--json").out)
        assert {each["state"] for each in written["files"]} == {"new"}
        assert written["folder"] == str(home / "deploy")

        (home / "deploy" / "app.env").write_text("mine\n")
        again = self.call(home)
        assert again.code == ExitCode.OK
        assert [line for line in again.out.splitlines() if line.startswith("kept")]
        assert (home / "deploy" / "app.env").read_text() == "mine\n"

        other = self.call(home, "--workers", "2")
        assert other.code == ExitCode.USAGE
        assert "nothing was written" in other.err
        assert "app.env" in other.err.splitlines()[-1]
        assert "-mine\n" in other.out
        assert "+WORKERS=2\n" in other.out
        assert 'WORKERS, value: "4"' in (home / "deploy" / "kubernetes.yml").read_text()

        forced = self.call(home, "--workers", "2", "--force")
        assert forced.code == ExitCode.OK
        assert "WORKERS=2\n" in (home / "deploy" / "app.env").read_text()
        assert self.call(home, "--workers", "2", "--force", "--diff").code == ExitCode.OK

    def test_colours_are_there_where_they_are_asked_for(self, home: Path) -> None:
        shown = self.call(home, "--diff", FORCE_COLOR="1", TERM="xterm")
        assert "\x1b[32m+++ b/Dockerfile" in shown.out

    def test_another_deployment_takes_the_first_ones_files_away(self, home: Path) -> None:
        ejected(home, "nginx-uwsgi")
        (home / "deploy" / "nginx" / "nginx.conf").write_text("mine\n")
        prepared = ejected(home, "gevent-gunicorn")
        states = {change.path: change.state for change in prepared.changes}
        assert states["uwsgi_gevent.ini"] == states["nginx/uwsgi.conf"] == "removed"
        assert states["nginx/nginx.conf"] == "left"
        assert [each.name for each in (home / "deploy" / "nginx").iterdir()] == ["nginx.conf"]
        assert not (home / "deploy" / "patched.py").exists()

    def test_nothing_that_was_there_before_is_replaced(self, home: Path) -> None:
        (home / "deploy").mkdir()
        (home / "deploy" / "Dockerfile").write_text("FROM scratch\n")
        ended = self.call(home)
        assert ended.code == ExitCode.USAGE
        assert "-FROM scratch" in ended.out
        assert [each.name for each in (home / "deploy").iterdir()] == ["Dockerfile"]


class TestTheApp:
    def test_what_the_health_checks_ask_is_found_out(self, home: Path) -> None:
        ejected(home, "gevent-gunicorn")
        pod = yaml.safe_load_all((home / "deploy" / "kubernetes.yml").read_text())
        (app,) = next(iter(pod))["spec"]["template"]["spec"]["containers"]
        assert app["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert app["readinessProbe"]["httpGet"]["path"] == "/healthz", "it has no /readyz"

    def test_a_path_that_fails_is_told(self, home: Path) -> None:
        prepared = prepare(asked(home, "gevent-gunicorn", health_path="/nowhere"))
        assert any("/nowhere answers 404" in note for note in prepared.notes)

    def test_an_app_that_does_not_import(self, home: Path) -> None:
        with pytest.raises(UsageError, match="No module named 'nowhere'"):
            prepare(asked(home, "gevent-gunicorn", "nowhere:app"))

    @pytest.mark.parametrize("spec", ["shop.wsgi:create_app", "app:WHOSE"])
    def test_what_no_server_can_call(self, home: Path, spec: str) -> None:
        with pytest.raises(UsageError):
            prepare(asked(home, "gevent-gunicorn", spec))

    def test_a_module_that_would_be_taken_for_ours(self, home: Path) -> None:
        (home / "patched.py").write_text("")
        with pytest.raises(UsageError, match="give yours another name"):
            prepare(asked(home, "gevent-uwsgi"))
        prepare(asked(home, "sync-uwsgi"))

    @pytest.mark.parametrize(
        "options",
        [{"name": "Shop"}, {"image": "a b"}, {"health_path": "healthz"}, {"ready_path": "/'"}],
    )
    def test_what_could_not_be_written(self, home: Path, options: dict[str, str]) -> None:
        with pytest.raises(UsageError, match="cannot be written everywhere"):
            prepare(asked(home, "gevent-uwsgi", **options))

    def test_an_installed_package_in_a_virtual_environment(self, home: Path) -> None:
        python = environment_with(home / "venv", "parcel", WSGI, "needed>=1")
        prepared = ejected(home, "gevent-gunicorn", "parcel:serve", python=python, name="parcel")
        made = {path: content.decode() for path, content in prepared.files.items()}
        assert made["requirements/app.txt"].splitlines()[1:] == ["needed>=1", "parcel==1.5"]
        major, minor = sys.version_info[:2]
        assert f"PYTHON_IMAGE=python:{major}.{minor}-slim" in made["Dockerfile"]
        assert "COPY . " not in made["Dockerfile"]

    def test_a_dockerignore_of_the_users_stays_the_one_that_counts(self, home: Path) -> None:
        assert "Dockerfile.dockerignore" in prepare(asked(home, "sync-gunicorn")).files
        (home / ".dockerignore").write_text("data/\n")
        prepared = prepare(asked(home, "sync-gunicorn"))
        assert "Dockerfile.dockerignore" not in prepared.files
        assert any(".dockerignore decides" in note for note in prepared.notes)
        (home / "secrets.txt").write_text("TOKEN=very-secret\n")
        prepared = ejected(home, "sync-gunicorn", env_file=home / "secrets.txt")
        assert any("keep secrets.txt out" in note for note in prepared.notes)

    def test_values_of_the_users_variables_are_nowhere(self, home: Path) -> None:
        (home / ".env").write_text("TOKEN=very-secret\n")
        prepared = ejected(home, "nginx-uwsgi", env_file=home / ".env")
        assert any(b"TOKEN" in content for content in prepared.files.values())
        for file in (home / "deploy").rglob("*"):
            assert file.is_dir() or b"very-secret" not in file.read_bytes()


def environment_with(folder: Path, name: str, text: str, *requires: str) -> Path:
    """Make a virtual environment with one package in it, as pip would have installed it."""
    venv.create(folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / f"{name}.py").write_text(text)
    metadata = packages / f"{name}-1.5.dist-info"
    metadata.mkdir()
    lines = [f"Name: {name}", "Version: 1.5", *(f"Requires-Dist: {each}" for each in requires)]
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")
    (metadata / "RECORD").write_text(f"{name}.py,,\n")
    return folder


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("devserver",), "not for production"),
        (("gevent-uwsgi", "--to", "plain.py"), "is a file"),
        (("gevent-uwsgi", "--to", "no/deploy"), "there is no folder"),
        (("gevent-uwsgi", "--to", "/proc/deploy"), "neither in the app's folder"),
        (("gevent-uwsgi", "--to", "."), "holds the app itself"),
        (("gevent-uwsgi", "--port", "80"), "--port"),
    ],
)
def test_calls_that_cannot_be(home: Path, arguments: tuple[str, ...], said: str) -> None:
    ended = run(home, "eject", *arguments, "--app", FACTORY)
    assert ended.code == ExitCode.USAGE
    assert said in ended.err
    assert not (home / "deploy").exists()
