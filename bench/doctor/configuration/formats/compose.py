"""Compose files: each service with what it extends, and with the image that it builds."""

import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.doctor.configuration.formats.commands import fill_defaults, split
from bench.doctor.configuration.formats.dockerfile import read_dockerfile
from bench.doctor.configuration.formats.durations import seconds
from bench.doctor.configuration.formats.located_yaml import Located, read_yaml
from bench.doctor.configuration.formats.text import TextFile, read_text
from bench.doctor.configuration.model import Command, Setting, Settings, Supervisor
from bench.doctor.findings import Evidence
from bench.errors import UsageError

NAMES = {"user": "user", "stop_signal": "stop-signal", "image": "image", "network_mode": "network"}


def read_compose(file: TextFile, content: Located, folder: Path) -> Iterator[Supervisor]:
    """Yield its services, as far as they are mappings."""
    services = content.within("services")
    for name in services:
        own = services.within(name)
        if own:
            place = file.at(services.lines.get(name))
            yield _service(file, name, own, folder, place)


def _service(
    file: TextFile,
    name: str,
    own: Located,
    folder: Path,
    place: Evidence,
    above: frozenset[tuple[Path, str]] = frozenset(),
) -> Supervisor:
    """Return a service; ``above``: those that extend it, so that a circle ends."""
    environment, variables = _environment(file, own)
    supervisor = Supervisor(
        "compose",
        name,
        place,
        tuple(_commands(file, own)),
        _words(own.get("entrypoint")),
        Settings(tuple(_settings(file, own))),
        environment,
        variables,
    )
    above |= {(file.path, name)}
    for below in (_extended(file, own, folder, place, above), _built(file, own, folder)):
        if below is not None:
            supervisor = _above(below, supervisor)
    return supervisor


def _above(below: Supervisor, own: Supervisor) -> Supervisor:
    """Return a service with what it has from another, or from its image."""
    before = () if own.entrypoint else below.entrypoint
    commands = (replace(each, words=(*before, *each.words)) for each in own.commands)
    return replace(
        own,
        commands=tuple(commands) or below.commands,
        entrypoint=own.entrypoint or below.entrypoint,
        settings=below.settings | own.settings,
        environment={**below.environment, **own.environment},
        variables={**below.variables, **own.variables},
    )


def _extended(
    file: TextFile,
    own: Located,
    folder: Path,
    place: Evidence,
    above: frozenset[tuple[Path, str]],
) -> Supervisor | None:
    extends = own.get("extends")
    if isinstance(extends, str):
        extends = {"service": extends}
    if not isinstance(extends, dict):
        return None
    path = file.path.parent / str(extends["file"]) if extends.get("file") else file.path
    try:
        other = read_text(path, folder)
        documents = read_yaml(other)
    except UsageError:
        return None
    service = str(extends.get("service"))
    for document in documents:
        base = document.within("services", service)
        if base and (other.path, service) not in above:
            return _service(other, service, base, folder, place, above)
    return None


def _built(file: TextFile, own: Located, folder: Path) -> Supervisor | None:
    """Return what the service's own Dockerfile says, where it is found.

    What is built may stand partly in a file that this one extends.
    """
    build = own.get("build")
    if isinstance(build, str):
        build = {"context": build}
    if not isinstance(build, dict):
        return None
    context = fill_defaults(str(build.get("context", ".")))
    path = file.path.parent / context / fill_defaults(str(build.get("dockerfile", "Dockerfile")))
    try:
        dockerfile = read_text(path, folder)
    except UsageError:
        return None
    target = build.get("target")
    return read_dockerfile(dockerfile, str(target) if target else None)


def _commands(file: TextFile, own: Located) -> Iterator[Command]:
    words: tuple[str, ...] = ()
    line = None
    for key in ("entrypoint", "command"):
        if own.get(key) is not None:
            words += _words(own[key])
            line = own.lines.get(key)
    if words:
        yield Command(words, file.at(line))


def _words(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - any YAML
    if isinstance(value, str):
        return split(value)
    return tuple(fill_defaults(str(each)) for each in value) if isinstance(value, list) else ()


def _settings(file: TextFile, own: Located) -> Iterator[Setting]:
    for key, name in NAMES.items():
        if own.get(key) is not None:
            yield Setting(name, fill_defaults(str(own[key])), file.at(own.lines.get(key)))
    if own.get("stop_grace_period") is not None:
        grace = seconds(fill_defaults(str(own["stop_grace_period"])))
        yield Setting("stop-grace", grace, file.at(own.lines.get("stop_grace_period")))
    if own.get("tmpfs") is not None:
        mounts = own["tmpfs"] if isinstance(own["tmpfs"], list) else [own["tmpfs"]]
        for mount in mounts:
            yield Setting("tmpfs", str(mount).partition(":")[0], file.at(own.lines.get("tmpfs")))
    files = own.within("ulimits").get("nofile")
    files = files.get("soft") if isinstance(files, dict) else files
    if files is not None:
        place = file.at(own.within("ulimits").lines.get("nofile") or own.lines.get("ulimits"))
        yield Setting("nofile", fill_defaults(str(files)), place)
    bound = _mapping(own.get("sysctls")).get("net.core.somaxconn")
    if bound is not None:
        yield Setting("somaxconn", fill_defaults(bound), file.at(own.lines.get("sysctls")))


def _environment(file: TextFile, own: Located) -> tuple[dict[str, str], Mapping[str, Evidence]]:
    given = _mapping(own.get("environment"))
    inner = own.within("environment").lines
    block = own.lines.get("environment")
    values = {name: fill_defaults(value) for name, value in given.items()}
    places = {}
    for name, value in values.items():
        line = inner.get(name) or block
        places[name] = file.at(line, None if name in inner else f"{name}={value}")
    return values, places


def _mapping(value: Any) -> dict[str, str]:  # noqa: ANN401 - any YAML
    if isinstance(value, list):
        pairs = (str(each).partition("=") for each in value)
        return {name: text for name, equals, text in pairs if equals}
    if isinstance(value, dict):
        return {str(name): str(each) for name, each in value.items() if each is not None}
    return {}


def signal_name(text: str) -> str:
    """Return ``TERM`` for ``SIGTERM``, ``TERM`` or ``15``."""
    if text.isdecimal():
        known = {each.value: each.name for each in signal.Signals}
        text = known.get(int(text), text)
    return text.upper().removeprefix("SIG")
