"""No drift: the compose files and the Dockerfiles are the catalog's deployments, in containers."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.catalog import load_catalog
from bench.model import Deployment

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "compose"
CATALOG = load_catalog()
OWN = tuple(d for d in CATALOG.deployments.values() if d.group is None)
NAMES = tuple(d.name for d in OWN)
SERVICES = yaml.safe_load((COMPOSE / "services.yml").read_text("utf-8"))
TARGETS = {"werkzeug": "devserver", "gevent": "pywsgi", "gunicorn": "gunicorn", "uwsgi": "uwsgi"}
"""The server of the catalog → the build target of the Dockerfile."""
PORT = 8000
"""Where everything listens inside, and the default of ${PORT} outside."""
APP_MODULES = ("app", "lean_flask", "upstream", "http_client", "database")
APP_FILES = {f"flask_app/{name}.py" for name in APP_MODULES}
SETTINGS = ("workers", "threads", "async_cores", "backlog")
CONCATENATED = {"volumes", "ports", "tmpfs"}
"""Lists that a service adds to those of the one it extends; any other replaces them."""


# ---- reading, as Compose does ----------------------------------------------------------------


def filled_in(value: Any, environment: Mapping[str, str]) -> Any:
    """Fill in ``${NAME:-default}`` everywhere, and turn ``$$`` into ``$``."""
    if isinstance(value, dict):
        return {key: filled_in(each, environment) for key, each in value.items()}
    if isinstance(value, list):
        return [filled_in(each, environment) for each in value]
    if not isinstance(value, str):
        return value
    text = re.sub(
        r"\$\{(\w+):-([^}]*)\}", lambda found: environment.get(found[1]) or found[2], value
    )
    return text.replace("$$", "$")


def extended(base: Any, own: Any, key: str = "") -> Any:
    if isinstance(base, dict) and isinstance(own, dict):
        return base | {name: extended(base.get(name), own[name], name) for name in own}
    if key in CONCATENATED and base:
        return base + own
    return own


def read(name: str) -> Any:
    return yaml.safe_load((COMPOSE / f"{name}.yml").read_text("utf-8"))


def services_of(name: str, **environment: str) -> dict[str, Any]:
    """Return a deployment's services, with what they extend, and with their variables filled in."""
    services = {}
    for service, own in read(name)["services"].items():
        extends = own.pop("extends")
        assert extends == {"file": "services.yml", "service": service}
        services[service] = filled_in(extended(SERVICES["services"][service], own), environment)
    return services


def stages() -> dict[str, list[str]]:
    """Return the Dockerfile's instructions by stage; those of a stage that it starts from first."""
    text = (ROOT / "flask_app" / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if begun := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            own = found[begun[2]] = list(found.get(begun[1], []))
        elif found and line and not line.startswith("#"):
            own.append(" ".join(line.split()))
    return found


def arguments(instructions: list[str], name: str) -> list[str]:
    return [line.removeprefix(f"{name} ") for line in instructions if line.startswith(f"{name} ")]


STAGES = stages()


def command_inside(deployment: Deployment) -> list[str]:
    """Return the catalog's command as it is typed in the app's folder of the container."""
    values = {"python": "python", "flask_app": "/app", "host": "0.0.0.0", "port": str(PORT)}
    return [part.format_map(values).removeprefix("/app/") for part in deployment.command]


def target_of(deployment: Deployment) -> str:
    return TARGETS[deployment.server]


# ---- compose files ---------------------------------------------------------------------------


def test_every_deployment_has_a_file_and_no_file_lacks_a_deployment() -> None:
    assert {path.stem for path in COMPOSE.iterdir()} == {*NAMES, "services"}


@pytest.mark.parametrize("name", NAMES)
class TestADeployment:
    def test_its_file_is_headed_by_its_title(self, name: str) -> None:
        first, *_ = (COMPOSE / f"{name}.yml").read_text("utf-8").splitlines()
        assert first == f"# {CATALOG.deployment(name).title}"

    def test_the_command_is_the_catalogs(self, name: str) -> None:
        assert services_of(name)["app"]["command"] == command_inside(CATALOG.deployment(name))

    def test_the_settings_are_the_catalogs(self, name: str) -> None:
        deployment = CATALOG.deployment(name)
        settings = {each.upper(): getattr(deployment, each) for each in SETTINGS}
        expected = {each: str(value) for each, value in settings.items() if value is not None}
        environment = services_of(name)["app"]["environment"]
        assert {key: environment[key] for key in environment if key in settings} == expected

    def test_each_setting_can_be_set(self, name: str) -> None:
        deployment = CATALOG.deployment(name)
        has = {each.upper() for each in SETTINGS if getattr(deployment, each) is not None}
        values = {"WORKERS": "3", "THREADS": "7", "ASYNC_CORES": "11", "BACKLOG": "99"}
        environment = services_of(name, **values, DB_POOL_SIZE="5")["app"]["environment"]
        assert {key: environment[key] for key in has} == {key: values[key] for key in has}
        assert environment["DB_POOL_SIZE"] == "5"

    def test_it_has_the_catalogs_slots(self, name: str) -> None:
        deployment = CATALOG.deployment(name)
        environment = services_of(name)["app"]["environment"]
        per_process = environment.get("THREADS") or environment.get("ASYNC_CORES") or 1
        slots = int(environment.get("WORKERS", 1)) * int(per_process)
        assert deployment.slots == (None if deployment.slots_without_bound else slots)

    def test_the_pool_is_that_of_the_workload_with_a_database(self, name: str) -> None:
        services = services_of(name)
        each = CATALOG.workload("db").connections_per_process(CATALOG.deployment(name))
        assert services["app"]["environment"]["DB_POOL_SIZE"] == str(each)
        (bound,) = (word for word in services["database"]["command"] if "max_connections" in word)
        all_processes = CATALOG.workload("db").connections(CATALOG.deployment(name))
        assert all_processes is not None
        assert int(bound.partition("=")[2]) >= all_processes + 10

    def test_the_image_is_that_of_its_server(self, name: str) -> None:
        app = services_of(name)["app"]
        target = target_of(CATALOG.deployment(name))
        assert app["build"]["target"] == target
        assert app["image"] == f"flask-bench/{target}"

    def test_only_the_one_in_front_is_published_and_only_to_this_machine(self, name: str) -> None:
        front = "nginx" if CATALOG.deployment(name).proxy else "app"
        services = services_of(name, PORT="8123")
        published = {
            each: service["ports"] for each, service in services.items() if "ports" in service
        }
        assert published == {front: [f"127.0.0.1:8123:{PORT}"]}
        assert services_of(name)[front]["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]

    def test_a_proxy_runs_the_catalogs_configuration(self, name: str) -> None:
        proxy = CATALOG.deployment(name).proxy
        services = services_of(name)
        assert ("nginx" in services) == bool(proxy)
        if not proxy:
            return
        template = f"/etc/nginx/templates/{Path(proxy).name}.template"
        assert services["nginx"]["volumes"] == [
            "../nginx/nginx.conf:/etc/nginx/nginx.conf:ro",
            f"../{proxy}:{template}:ro",
        ]
        environment = services["nginx"]["environment"]
        placeholders = set(re.findall(r"\$\{(\w+)\}", (ROOT / proxy).read_text("utf-8")))
        assert placeholders == {"BIND", "APP_BIND", "BACKLOG"}
        for each in environment:
            is_filled_in = bool(re.search(environment["NGINX_ENVSUBST_FILTER"], each))
            assert is_filled_in == (each in placeholders)
        assert environment["APP_BIND"] == f"app:{PORT}"
        assert environment["BACKLOG"] == services["app"]["environment"]["BACKLOG"]

    def test_it_starts_when_what_it_needs_is_healthy(self, name: str) -> None:
        healthy = {"condition": "service_healthy"}
        services = services_of(name)
        assert services["app"]["depends_on"] == {"api": healthy, "database": healthy}
        if "nginx" in services:
            assert services["nginx"]["depends_on"] == {"app": healthy}

    def test_queues_are_as_long_as_the_kernel_grants(self, name: str) -> None:
        # uWSGI does not start otherwise; the others are cut down in silence
        for service in services_of(name, BACKLOG="99").values():
            if backlog := service.get("environment", {}).get("BACKLOG"):
                assert service["sysctls"]["net.core.somaxconn"] == backlog

    def test_networks_are_those_of_the_templates(self, name: str) -> None:
        assert read(name)["networks"] == SERVICES["networks"]
        assert SERVICES["networks"]["back"] == {"internal": True}

    def test_what_it_speaks_is_what_its_health_check_speaks(self, name: str) -> None:
        app = services_of(name)["app"]
        speaks_http = "--protocol" not in app["command"]
        assert ("test" in app["healthcheck"]) != speaks_http

    def test_every_service_is_hardened(self, name: str) -> None:
        for service in services_of(name).values():
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]
            assert service["mem_limit"]
            assert service["pids_limit"]
            if "build" not in service:  # the others: by their Dockerfile
                assert service["user"] not in {"root", "0"}
            else:
                assert service["pull_policy"] == "never"


def test_templates_can_be_extended_by_version_1() -> None:
    # which refuses to extend a service with any of these
    for service in SERVICES["services"].values():
        assert not {"depends_on", "links", "volumes_from"} & service.keys()
        assert "ports" not in service


def test_a_stop_waits_longer_than_the_servers_do() -> None:
    own = [
        int(found)
        for path in (ROOT / "flask_app").iterdir()
        if path.suffix in {".py", ".ini"}
        for found in re.findall(
            r"^(?:graceful_timeout|STOP_TIMEOUT|worker-reload-mercy) = (\d+)",
            path.read_text("utf-8"),
            re.MULTILINE,
        )
    ]
    assert len(own) == 5
    for service in ("app", "nginx"):
        grace = int(SERVICES["services"][service]["stop_grace_period"].removesuffix("s"))
        assert grace > max(own)
    assert SERVICES["services"]["nginx"]["stop_signal"] == "SIGQUIT"


def test_every_variable_is_described() -> None:
    used = {
        name
        for path in COMPOSE.iterdir()
        for name in re.findall(r"\$\{(\w+)", path.read_text("utf-8"))
    }
    head = (COMPOSE / "services.yml").read_text("utf-8").partition("\nx-")[0]
    document = (ROOT / "docs" / "containers.md").read_text("utf-8")
    for name in used:
        assert re.search(rf"\b{name}\b", head), name
        assert f"`{name}`" in document, name


# ---- images ----------------------------------------------------------------------------------


def copied(target: str) -> set[str]:
    """Return the files of the checkout that an image holds."""
    words = [line.split() for line in arguments(STAGES[target], "COPY")]
    assert all(each[-1] == "./" for each in words if not each[0].startswith("--from"))
    return {file for each in words if not each[0].startswith("--from") for file in each[:-1]}


@pytest.mark.parametrize("target", TARGETS.values())
class TestAnImage:
    def test_it_holds_the_files_to_copy_and_no_others(self, target: str) -> None:
        served = [d for d in OWN if target_of(d) == target]
        needed = {file for d in served for file in d.copy if file.startswith("flask_app/")}
        needed |= {
            f"flask_app/{part.partition(':')[0]}.py"
            for d in served
            for option, part in zip(d.command, d.command[1:], strict=False)
            if option == "--module"
        }
        assert copied(target) == APP_FILES | needed

    def test_by_itself_it_runs_one_of_its_deployments(self, target: str) -> None:
        (command,) = arguments(STAGES[target], "CMD")
        served = [d for d in OWN if target_of(d) == target]
        assert json.loads(command) in [command_inside(d) for d in served]

    def test_it_installs_its_own_lock_by_hash(self, target: str) -> None:
        steps = " ".join(arguments(STAGES[f"{target}-venv"], "RUN"))
        assert f"--require-hashes -r /requirements/{target}.txt" in steps
        assert f"--from={target}-venv /venv /venv" in arguments(STAGES[target], "COPY")

    def test_it_runs_as_a_number_that_is_not_root_in_the_apps_folder(self, target: str) -> None:
        assert arguments(STAGES[target], "USER") == ["10001:10001"]
        assert arguments(STAGES[target], "WORKDIR") == ["/app"]

    def test_it_says_what_it_is_and_how_it_stops(self, target: str) -> None:
        labels = " ".join(arguments(STAGES[target], "LABEL"))
        for key in ("title", "description", "licenses"):
            assert f"org.opencontainers.image.{key}=" in labels
        assert len(arguments(STAGES[target], "STOPSIGNAL")) == 1
        assert len(arguments(STAGES[target], "HEALTHCHECK")) == 1


def test_what_is_copied_reaches_the_engine() -> None:
    let_through = [
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        if line.startswith("!")
    ]
    files = {file for target in TARGETS.values() for file in copied(target)}
    for file in files:
        assert (ROOT / file).is_file()
        assert any(Path(file).match(pattern) for pattern in let_through), file


@pytest.mark.parametrize("image", [*TARGETS.values(), "slow-api"])
def test_an_image_has_the_versions_that_are_measured_without_it(image: str) -> None:
    def versions(name: str) -> set[str]:
        text = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")
        return set(re.findall(r"^[\w.-]+==\S+", text, re.MULTILINE))

    assert versions(f"images/{image}")
    assert versions(f"images/{image}") <= versions("base") | versions("uwsgi")


# ---- as Compose itself reads them ------------------------------------------------------------


def find_compose() -> tuple[str, ...] | None:
    """Return the command of the Compose that is installed; it needs no engine to read files."""
    for command in (("docker", "compose"), ("docker-compose",)):
        if shutil.which(command[0]):
            shown = subprocess.run([*command, "version"], capture_output=True, check=False)
            if shown.returncode == 0:
                return command
    return None


@pytest.fixture(scope="session")
def compose() -> tuple[str, ...]:
    if command := find_compose():
        return command
    pytest.skip(
        "NEITHER `docker compose` NOR `docker-compose` IS INSTALLED: nobody else reads the"
        " compose files here"
    )


def port_of(published: Any) -> str:
    """Return it as in the file: version 1 prints text, version 2 a mapping."""
    if isinstance(published, str):
        return published.removesuffix("/tcp")
    return f"{published['host_ip']}:{published['published']}:{published['target']}"


@pytest.mark.parametrize("settings", [{}, {"WORKERS": "2", "BACKLOG": "99", "PORT": "8123"}])
@pytest.mark.parametrize("name", NAMES)
def test_compose_reads_what_is_read_here(
    compose: tuple[str, ...], name: str, settings: dict[str, str], tmp_path: Path
) -> None:
    shown = subprocess.run(
        [*compose, "-f", str(COMPOSE / f"{name}.yml"), "config"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **settings},
    )
    assert shown.returncode == 0, shown.stderr
    assert "warn" not in shown.stderr.lower()
    found = yaml.safe_load(shown.stdout)["services"]
    expected = services_of(name, **settings)
    assert found.keys() == expected.keys()
    for service, own in expected.items():
        read_there = found[service]
        for key in ("command", "image", "cap_drop", "read_only", "security_opt", "pids_limit"):
            assert read_there.get(key) == own.get(key), key
        # printed as it would be written: with each $ doubled
        there = {
            key: str(value).replace("$$", "$")
            for key, value in read_there.get("environment", {}).items()
        }
        assert there == own.get("environment", {})
        assert [port_of(each) for each in read_there.get("ports", [])] == own.get("ports", [])
        assert read_there.get("build", {}).get("target") == own.get("build", {}).get("target")
        assert read_there["networks"].keys() == set(own["networks"])
        needed = {each: how["condition"] for each, how in own.get("depends_on", {}).items()}
        on = read_there.get("depends_on", {})
        assert {each: how["condition"] for each, how in on.items()} == needed
