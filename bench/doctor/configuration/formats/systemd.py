"""systemd units with their drop-ins: what a service starts, as whom, and how it is stopped."""

from collections.abc import Iterator
from pathlib import Path

from bench.doctor.configuration.formats.commands import split
from bench.doctor.configuration.formats.durations import seconds
from bench.doctor.configuration.formats.text import TextFile, read_text
from bench.doctor.configuration.model import Command, Setting, Settings, Supervisor
from bench.doctor.findings import Evidence
from bench.errors import UsageError

PREFIXES = "@-:+!|"
"""Before the path of a program: systemd.service(5)."""
NAMES = {"User": "user", "KillMode": "kill-mode", "KillSignal": "stop-signal"}
UNLIMITED = {"infinity": "inf"}


def read_unit(file: TextFile, folder: Path) -> Supervisor | None:
    """Return the service of a unit; ``None``: it has no command to start."""
    commands: list[Command] = []
    settings: list[Setting] = []
    environment: dict[str, str] = {}
    variables: dict[str, Evidence] = {}
    for place, name, value in _entries(file, folder):
        if name == "ExecStart" and not value:  # what a drop-in begins with to replace it
            commands.clear()
        elif name == "ExecStart":
            commands.append(Command(split(value.lstrip(PREFIXES)), place))
        elif name == "Environment":
            for word in split(value):
                key, _, text = word.partition("=")
                environment[key], variables[key] = text, place
        else:
            settings += _setting(name, value, place)
    if not commands:
        return None
    return Supervisor(
        "systemd",
        file.path.name,
        commands[0].evidence,
        tuple(commands),
        settings=Settings(tuple(settings)),
        environment=environment,
        variables=variables,
    )


def _entries(unit: TextFile, folder: Path) -> Iterator[tuple[Evidence, str, str]]:
    for file in (unit, *_drop_ins(unit, folder)):
        section = ""
        for line, text in file.joined_lines():
            if text.startswith("["):
                section = text
            elif section == "[Service]" and not text.startswith(";"):
                name, _, value = text.partition("=")
                yield file.at(line), name.strip(), value.strip()


def _drop_ins(unit: TextFile, folder: Path) -> Iterator[TextFile]:
    """Yield what is in ``<unit>.service.d`` beside it, in the order in which it takes effect."""
    for path in sorted(unit.path.with_name(f"{unit.path.name}.d").glob("*.conf")):
        try:
            yield read_text(path, folder)
        except UsageError:
            continue


def _setting(name: str, value: str, place: Evidence) -> Iterator[Setting]:
    if name in NAMES:
        yield Setting(NAMES[name], value, place)
    elif name == "DynamicUser" and value.lower() in {"yes", "true", "1", "on"}:
        yield Setting("user", "of its own", place)
    elif name in {"TimeoutStopSec", "TimeoutSec"}:
        yield Setting("stop-grace", seconds(value), place)
    elif name == "LimitNOFILE":
        soft = value.partition(":")[0]
        yield Setting("nofile", UNLIMITED.get(soft, soft), place)
    elif name == "ExecStop":
        yield Setting("stop-command", value, place)
