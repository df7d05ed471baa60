"""Dockerfiles: what their last stage, or a named one, starts and as whom."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.doctor.configuration.formats.commands import shell_commands
from bench.doctor.configuration.formats.text import TextFile
from bench.doctor.configuration.model import Command, Setting, Settings, Supervisor
from bench.doctor.findings import Evidence

HERE_DOCUMENT = re.compile(r"<<-?[\"']?([A-Za-z_]\w*)[\"']?")


@dataclass
class _Stage:
    """What a stage has come to; one that starts from another begins with all that is that one's."""

    name: str
    evidence: Evidence
    image: str
    settings: dict[str, Setting] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    variables: dict[str, Evidence] = field(default_factory=dict)
    entrypoint: tuple[str, Evidence] | None = None
    command: tuple[str, Evidence] | None = None
    has_own_command: bool = False


def read_dockerfile(file: TextFile, target: str | None = None) -> Supervisor | None:
    """Return what the image of a stage starts, by default of the last; ``None``: there is none."""
    stages: dict[str, _Stage] = {}
    current: _Stage | None = None
    for line, name, rest in _instructions(file):
        if name == "FROM":
            current = _begun(rest, file.at(line), stages)
            stages[current.name] = current
        elif current is not None:
            _apply(current, name, rest, file.at(line))
    chosen = stages.get(target) if target else current
    return _supervisor(chosen) if chosen else None


def _instructions(file: TextFile) -> Iterator[tuple[int, str, str]]:
    until = None
    for line, text in file.joined_lines():
        if until is not None:
            until = None if text == until else until
            continue
        name, _, rest = text.partition(" ")
        here = HERE_DOCUMENT.search(rest) if name.upper() in {"RUN", "COPY", "ADD"} else None
        until = here[1] if here else None
        yield line, name.upper(), rest.strip()


def _begun(rest: str, evidence: Evidence, stages: dict[str, _Stage]) -> _Stage:
    words = [word for word in rest.split() if not word.startswith("--")]
    image = words[0] if words else ""
    name = words[2] if len(words) > 2 and words[1].lower() == "as" else f"image {len(stages)}"  # noqa: PLR2004
    base = stages.get(image)
    if base is None:
        return _Stage(name, evidence, image)
    return _Stage(
        name, evidence, base.image, dict(base.settings), dict(base.environment),
        dict(base.variables), base.entrypoint, base.command,
    )  # fmt: skip


def _apply(stage: _Stage, name: str, rest: str, evidence: Evidence) -> None:
    if name == "USER":
        stage.settings["user"] = Setting("user", rest, evidence)
    elif name == "STOPSIGNAL":
        stage.settings["stop-signal"] = Setting("stop-signal", rest, evidence)
    elif name == "ENV":
        for key, value in _assignments(rest):
            stage.environment[key] = value
            stage.variables[key] = evidence
    elif name == "ENTRYPOINT":
        stage.entrypoint = (rest, evidence)
        if not stage.has_own_command:  # that of the stage below is set aside
            stage.command = None
    elif name == "CMD":
        stage.command, stage.has_own_command = (rest, evidence), True


def _assignments(rest: str) -> Iterator[tuple[str, str]]:
    try:
        words = shlex.split(rest)
    except ValueError:
        return
    if words and "=" not in words[0]:  # ENV name value
        yield words[0], " ".join(words[1:])
        return
    for word in words:
        name, _, value = word.partition("=")
        yield name, value


def _supervisor(stage: _Stage) -> Supervisor:
    image = Setting("image", stage.image, stage.evidence)
    return Supervisor(
        "docker",
        stage.name,
        stage.evidence,
        tuple(_commands(stage)),
        _exec_form(stage.entrypoint) or (),
        Settings((image, *stage.settings.values())),
        stage.environment,
        stage.variables,
    )


def _commands(stage: _Stage) -> Iterator[Command]:
    """Yield what the container runs: in exec form the command is the entrypoint's arguments."""
    entry = _exec_form(stage.entrypoint)
    command = _exec_form(stage.command)
    if stage.entrypoint and entry is None:
        yield from _by_shell(*stage.entrypoint)
    elif entry is not None and stage.entrypoint:
        yield Command((*entry, *(command or ())), (stage.command or stage.entrypoint)[1])
    elif command is not None and stage.command:
        yield Command(command, stage.command[1])
    elif stage.command:
        yield from _by_shell(*stage.command)


def _exec_form(instruction: tuple[str, Evidence] | None) -> tuple[str, ...] | None:
    if instruction is None or not instruction[0].startswith("["):
        return None
    try:
        words = json.loads(instruction[0])
    except ValueError:
        return None
    return tuple(map(str, words))


def _by_shell(text: str, evidence: Evidence) -> Iterator[Command]:
    for words, takes_its_place in shell_commands(text):
        yield Command(words, evidence, behind_shell=not takes_its_place)
