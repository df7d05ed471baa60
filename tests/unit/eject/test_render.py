"""What is written for each deployment, read as those read it who use it."""

import json
import re
import shlex
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
import yaml

from bench.catalog import ROOT
from bench.eject.ejection import IN_IMAGE, SERVER_STOP, Ejection
from bench.eject.places import Places
from bench.eject.render import files
from bench.eject.requirements import AppRequirements
from tests.unit.eject.ejections import CATALOG, HOME, NAMES, ejection


@cache
def texts(name: str) -> Mapping[str, str]:
    return {path: content.decode() for path, content in files(ejection(name), ROOT).items()}


def texts_of(made: Ejection) -> Mapping[str, str]:
    return {path: content.decode() for path, content in files(made, ROOT).items()}


def pods(text: str) -> dict[str, Any]:
    """Return the manifests by kind."""
    return {each["kind"]: each for each in yaml.safe_load_all(text)}


def instructions(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(line.split()[0], line.partition(" ")[2]) for line in joined.splitlines()]


def unit(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def settings(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("name", NAMES)
class TestEveryDeployment:
    def test_the_copies_are_byte_for_byte(self, name: str) -> None:
        made = files(ejection(name), ROOT)
        for source in CATALOG.deployment(name).copy:
            path = source.removeprefix("flask_app/")
            assert made[path] == (ROOT / source).read_bytes()

    def test_nothing_is_left_of_a_template(self, name: str) -> None:
        copied = ejection(name).copies
        for path, text in texts(name).items():
            assert (
                not re.search(r"\{\{|\{%|%\}|\bNone\b|\bTrue\b|\bFalse\b", text) or path in copied
            )
            assert text.endswith("\n")
            assert not text.startswith("\n")
            if path not in copied:
                assert "\n\n\n" not in text, path
                assert not re.search(r"[ \t]+$", text, re.MULTILINE), path

    def test_the_settings_are_those_that_were_measured(self, name: str) -> None:
        deployment = CATALOG.deployment(name)
        told = settings(texts(name)["app.env"])
        for setting in ("workers", "threads", "async_cores", "backlog"):
            value = getattr(deployment, setting)
            assert told.get(setting.upper()) == (value and str(value))
        assert told["FLASK_APP"] == "shop.wsgi:create_app()"

    def test_kubernetes_has_the_same_settings(self, name: str) -> None:
        app = pods(texts(name)["kubernetes.yml"])["Deployment"]["spec"]["template"]["spec"]
        there = {each["name"]: each["value"] for each in app["containers"][0]["env"]}
        there.pop("BIND", None)
        assert there == settings(texts(name)["app.env"])

    def test_every_command_is_the_catalogs(self, name: str) -> None:
        values = {"python": "python", "flask_app": "X"}
        expected = [part.format_map(values) for part in CATALOG.deployment(name).command]
        made = texts(name)
        (image,) = [json.loads(a) for n, a in instructions(made["Dockerfile"]) if n == "CMD"]
        (started,) = unit(made["systemd/shop.service"])["ExecStart"]
        assert [part.replace(IN_IMAGE, "X") for part in image] == expected
        started = started.removeprefix("/usr/bin/env -u LISTEN_PID -u LISTEN_FDS ")
        program, *arguments = shlex.split(started.replace("/srv/shop/deploy", "X"))
        assert [program.removeprefix("/srv/shop/.venv/bin/"), *arguments] == expected
        local = made["README.md"].split("$ ", 1)[1].splitlines()[0]
        words = [word for word in shlex.split(local) if "=" not in word]
        assert [word.replace("deploy/", "X/") for word in words] == expected

    def test_everybody_waits_longer_than_the_server(self, name: str) -> None:
        made = texts(name)
        own = [
            int(found)
            for text in map(made.__getitem__, ejection(name).entrypoints)
            for found in re.findall(
                r"^(?:graceful_timeout|STOP_TIMEOUT|worker-reload-mercy) = (\d+)",
                text,
                re.MULTILINE,
            )
        ]
        assert own == [SERVER_STOP]
        for service in yaml.safe_load(made["compose.yml"])["services"].values():
            assert int(service["stop_grace_period"].removesuffix("s")) > SERVER_STOP
        assert int(unit(made["systemd/shop.service"])["TimeoutStopSec"][0]) > SERVER_STOP
        pod = pods(made["kubernetes.yml"])["Deployment"]["spec"]["template"]["spec"]
        waits = [
            int(each["lifecycle"]["preStop"]["exec"]["command"][1]) for each in pod["containers"]
        ]
        assert pod["terminationGracePeriodSeconds"] > max(waits) + SERVER_STOP
        # the app after nginx, which still has requests for it
        assert waits == sorted(waits, reverse=True)
        assert len(set(waits)) == len(waits)

    def test_nobody_has_rights(self, name: str) -> None:
        made = texts(name)
        assert ("USER", "10001:10001") in instructions(made["Dockerfile"])
        for service in yaml.safe_load(made["compose.yml"])["services"].values():
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]
        pod = pods(made["kubernetes.yml"])["Deployment"]["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        for each in pod["containers"]:
            context = each["securityContext"]
            assert context["runAsUser"] > 0
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
        service = unit(made["systemd/shop.service"])
        assert service["NoNewPrivileges"] == ["true"]
        assert service["ProtectSystem"] == ["strict"]

    def test_only_the_front_is_published_and_only_here(self, name: str) -> None:
        services = yaml.safe_load(texts(name)["compose.yml"])["services"]
        published = {
            each: service["ports"] for each, service in services.items() if "ports" in service
        }
        front = "nginx" if CATALOG.deployment(name).proxy else "app"
        assert published == {front: ["127.0.0.1:${PORT:-8000}:8000"]}

    def test_what_it_speaks_is_what_its_health_checks_speak(self, name: str) -> None:
        made = texts(name)
        (check,) = [a for n, a in instructions(made["Dockerfile"]) if n == "HEALTHCHECK"]
        pod = pods(made["kubernetes.yml"])["Deployment"]["spec"]["template"]["spec"]
        alive = pod["containers"][0]["livenessProbe"]
        if name == "nginx-uwsgi":
            assert '["uwsgi", "--ping", "127.0.0.1:8000"]' in check
            assert alive["exec"]["command"] == ["uwsgi", "--ping", "127.0.0.1:8001"]
        else:
            assert "c.request('GET', '/healthz')" in check
            assert alive["httpGet"]["path"] == "/healthz"

    def test_the_ports_of_a_pod_meet(self, name: str) -> None:
        manifests = pods(texts(name)["kubernetes.yml"])
        app, *more = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
        ports = {p["name"]: p["containerPort"] for each in (app, *more) for p in each["ports"]}
        (service,) = manifests["Service"]["spec"]["ports"]
        assert ports[service["targetPort"]] == 8000
        assert len(set(ports.values())) == len(ports)
        if more:
            (nginx,) = more
            told = {each["name"]: each["value"] for each in nginx["env"]}
            bound = {each["name"]: each["value"] for each in app["env"]}["BIND"]
            assert told["BIND"] == "0.0.0.0:8000"
            assert told["APP_BIND"].rpartition(":")[2] == bound.rpartition(":")[2] == "8001"
            # whoever speaks the uwsgi protocol to uWSGI may tell it to run anything
            assert bound.startswith("127.0.0.1:") or name != "nginx-uwsgi"
            assert nginx["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": 8000}
        else:
            assert app["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": 8000}

    def test_everything_is_called_alike(self, name: str) -> None:
        for kind, each in pods(texts(name)["kubernetes.yml"]).items():
            expected = "shop-nginx" if kind == "ConfigMap" else "shop"
            assert each["metadata"]["name"] == expected
        assert 'org.opencontainers.image.title="shop"' in texts(name)["Dockerfile"]

    def test_systemd_listens(self, name: str) -> None:
        made = texts(name)
        assert unit(made["systemd/shop.socket"])["ListenStream"] == ["127.0.0.1:8000"]
        assert "BIND=fd://3 " in unit(made["systemd/shop.service"])["Environment"][0]
        assert unit(made["systemd/shop.socket"])["Backlog"] == ["4096"]


@pytest.mark.parametrize("name", ["nginx-gunicorn", "nginx-uwsgi"])
class TestNginx:
    def test_the_config_map_has_the_very_files(self, name: str) -> None:
        made = texts(name)
        data = pods(made["kubernetes.yml"])["ConfigMap"]["data"]
        conf = name.removeprefix("nginx-") + ".conf"
        assert data == {
            "nginx.conf": made["nginx/nginx.conf"],
            f"{conf}.template": made[f"nginx/{conf}"],
        }

    def test_compose_is_that_of_the_checkout(self, name: str) -> None:
        ours = yaml.safe_load((ROOT / "compose/services.yml").read_text("utf-8"))["services"]
        nginx = yaml.safe_load(texts(name)["compose.yml"])["services"]["nginx"]
        for key in ("user", "command", "tmpfs", "stop_signal", "stop_grace_period"):
            assert nginx[key] == ours["nginx"][key]
        filters = "NGINX_ENVSUBST_FILTER"
        assert nginx["environment"][filters] == ours["nginx"]["environment"][filters]
        assert nginx["depends_on"] == {"app": {"condition": "service_healthy"}}


class TestWhereTheAppIs:
    def test_beside(self) -> None:
        beside = Places(HOME.parent / "deploy", HOME.parent, "shop", ("src",), HOME)
        made = texts_of(ejection(places=beside))
        steps = instructions(made["Dockerfile"])
        assert ("COPY", "shop ./") in steps
        assert ("COPY", "deploy/uwsgi_gevent.ini deploy/patched.py /deploy/") in steps
        assert "PYTHONPATH=/deploy:/app/src" in made["Dockerfile"]
        assert (
            "PYTHONPATH=../deploy:src uwsgi --ini ../deploy/uwsgi_gevent.ini" in made["README.md"]
        )
        service = unit(made["systemd/shop.service"])
        assert service["WorkingDirectory"] == ["/srv/shop/shop"]
        assert "PYTHONPATH=/srv/shop/deploy:/srv/shop/shop/src" in service["Environment"]
        app = yaml.safe_load(made["compose.yml"])["services"]["app"]
        assert app["build"] == {"context": "..", "dockerfile": "deploy/Dockerfile"}

    def test_in_a_package(self) -> None:
        packaged = Places(HOME / "deploy", HOME, None, (), HOME)
        needs = AppRequirements("httpbin", pins=("httpbin==0.10.2",))
        made = texts_of(ejection("gevent-gunicorn", places=packaged, requirements=needs))
        copied = [a for n, a in instructions(made["Dockerfile"]) if n == "COPY"]
        assert copied == [
            "deploy/requirements/ /requirements/",
            "--from=builder /venv /venv",
            "deploy/gunicorn_gevent.conf.py /deploy/",
        ]
        assert "PYTHONPATH" not in made["Dockerfile"]
        assert made["requirements/app.txt"].splitlines()[1:] == ["httpbin==0.10.2"]


class TestRequirements:
    def test_the_server_is_installed_by_hash_and_the_app_after_it(self) -> None:
        made = texts("gevent-uwsgi")
        runs = [a for n, a in instructions(made["Dockerfile"]) if n == "RUN"]
        apt, server, app, lacking = runs
        assert lacking.endswith("grep -E '^(gevent|psycogreen|uwsgi) '")
        assert "gcc" in apt
        assert "--require-hashes -r /requirements/server.txt" in server
        assert app.endswith("install -r /requirements/app/requirements.txt")

    def test_a_file_that_names_others_finds_them(self) -> None:
        needs = AppRequirements("needs.txt", file="shop/needs.txt", folder_first=True)
        beside = Places(HOME.parent / "deploy", HOME.parent, "shop", (), HOME)
        steps = instructions(
            texts_of(ejection("sync-gunicorn", requirements=needs, places=beside))["Dockerfile"]
        )
        index = steps.index(("COPY", "shop ./"))
        assert steps[index - 1] == ("WORKDIR", "/app")
        assert steps[index + 1][1].endswith("install -r needs.txt")

    def test_a_folder_that_is_a_package_is_installed(self) -> None:
        needs = AppRequirements("pyproject.toml", pins=("flask==3",), install_folder=True)
        text = texts_of(ejection(requirements=needs))["Dockerfile"]
        assert "install --no-deps .\n" in text

    @pytest.mark.parametrize(
        ("name", "git", "packages"),
        [
            ("sync-gunicorn", False, None),
            ("sync-gunicorn", True, "git"),
            ("gevent-uwsgi", True, "gcc libc6-dev git"),
        ],
    )
    def test_the_builder_has_what_it_needs(
        self, name: str, git: bool, packages: str | None
    ) -> None:
        needs = AppRequirements("r", file="r.txt", needs_git=git)
        text = texts_of(ejection(name, requirements=needs))["Dockerfile"]
        assert ("apt-get" in text) == bool(packages)
        assert packages is None or f"--no-install-recommends {packages} " in text


def test_the_users_own_variables_are_named_and_their_values_are_not_there() -> None:
    made = texts_of(ejection(env_file="../.env", variables=("DATABASE_URL", "KEY")))
    assert "DATABASE_URL KEY" in made["app.env"]
    assert settings(made["app.env"]).keys() == settings(texts("gevent-uwsgi")["app.env"]).keys()
    app = yaml.safe_load(made["compose.yml"])["services"]["app"]
    assert app["env_file"] == ["app.env", "../.env"]


@pytest.mark.parametrize(
    ("env_file", "ignored"), [("../secrets.txt", "secrets.txt"), ("../../secrets.txt", None)]
)
def test_the_users_own_variables_do_not_get_into_an_image(
    env_file: str, ignored: str | None
) -> None:
    lines = texts_of(ejection(env_file=env_file))["Dockerfile.dockerignore"].splitlines()
    assert {"**/.env*", "**/*.env"} <= {*lines}
    assert [line for line in lines if "secrets" in line] == ([ignored] if ignored else [])


def test_a_variant_brings_its_settings_and_arguments() -> None:
    ares = texts("gevent-uwsgi@ares")
    assert settings(ares["app.env"])["GEVENT_RESOLVER"] == "ares"
    assert '"--reuse-port"]' in texts("gevent-gunicorn@reuse-port")["Dockerfile"]


def test_the_port_is_the_same_everywhere() -> None:
    for path, text in texts_of(ejection("nginx-uwsgi", port=9321)).items():
        if path not in ejection("nginx-uwsgi").copies and not path.startswith("requirements/"):
            assert not re.search(r"\b800[01]\b", text), path
