"""Procfiles and shell scripts."""

import re
from collections.abc import Iterator, Mapping, Sequence

from bench.doctor.configuration.formats.commands import ASSIGNMENT, shell_commands, started
from bench.doctor.configuration.formats.text import TextFile
from bench.doctor.configuration.model import Command, Supervisor

VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")


def read_procfile(file: TextFile) -> Iterator[Supervisor]:
    """Yield its process types."""
    for line, text in file.joined_lines():
        name, colon, command = text.partition(":")
        if colon:
            place = file.at(line)
            commands = tuple(Command(words, place) for words, _ in shell_commands(command))
            yield Supervisor("procfile", name.strip(), place, commands)


def read_script(file: TextFile) -> Supervisor | None:
    """Return what a script starts; ``None``: no server that is known.

    Of several it is the last one: the branches before it are for development. A proxy beside it
    is another one.
    """
    variables: dict[str, str] = {}
    last: dict[bool, Command] = {}
    for line, text in file.joined_lines():
        for words, takes_its_place in shell_commands(_filled(text, variables)):
            variables |= _assigned(words)
            if found := started(words):
                command = Command(words, file.at(line), behind_shell=not takes_its_place)
                last[found.kind == "nginx"] = command
    if not last:
        return None
    commands = tuple(last.values())
    return Supervisor("script", file.path.name, commands[0].evidence, commands)


def _filled(text: str, variables: Mapping[str, str]) -> str:
    """Put values that the script itself gives in the place of their variables."""
    return VARIABLE.sub(lambda match: variables.get(match[1] or match[2], match[0]), text)


def _assigned(words: Sequence[str]) -> dict[str, str]:
    """Return the variables that a command gives values, if it does nothing else."""
    given = words[1:] if words[0] in {"export", "readonly", "local"} else words
    if not all(map(ASSIGNMENT.fullmatch, given)):
        return {}
    return {name: value for name, _, value in (word.partition("=") for word in given)}
