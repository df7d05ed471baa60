"""Command lines: which server they start, and with which arguments."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from bench.doctor.configuration.model import ServerKind

PROGRAMS: Mapping[str, ServerKind] = {
    "gunicorn": "gunicorn",
    "uwsgi": "uwsgi",
    "pyuwsgi": "uwsgi",
    "nginx": "nginx",
    "flask": "flask",
}
SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh"})
LAUNCHERS = {
    "exec": 0, "env": 0, "nice": 0, "nohup": 0, "time": 0, "tini": 0, "dumb-init": 0,
    "poetry": 0, "pipenv": 0, "uv": 0, "pdm": 0, "hatch": 0, "dotenv": 0, "sudo": 0,
    "ddtrace-run": 0, "newrelic-admin": 0, "opentelemetry-instrument": 0,
    "gosu": 1, "su-exec": 1, "setpriv": 0, "chpst": 0,
}  # fmt: skip
"""Programs that start another → their own arguments before it, options aside."""
WITH_VALUE = frozenset({"-n", "-u", "-g", "-f", "--reuid", "--regid"})
"""Options of launchers that take the next word."""
SUBCOMMANDS = frozenset({"run", "run-program", "--"})
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
ENTRYPOINT = re.compile(r"\.sh$|entrypoint")
ENDS = frozenset({"&&", "||", ";", "|", "&", "(", ")", ";;"})
SUBSTITUTION = re.compile(r"\$\(\([^()]*\)\)|\$\([^()]*\)|`[^`]*`")
"""What a shell puts in at the start, innermost first."""
WITH_DEFAULT = re.compile(r"\$\{\w+:?-([^${}]*)\}")


@dataclass(frozen=True)
class Started:
    """A server that a command line starts."""

    kind: ServerKind
    arguments: tuple[str, ...]
    behind_shell: bool = False


def started(words: Sequence[str], *, behind_shell: bool = False) -> Started | None:
    """Return the server that these words start, through whatever launchers; ``None``: none."""
    words = list(words)
    while words:
        name = PurePosixPath(words[0]).name
        if ASSIGNMENT.fullmatch(words[0]):
            words.pop(0)
        elif name in LAUNCHERS:
            words = _launched(words[1:], LAUNCHERS[name])
        elif name in SHELLS:
            return _in_shell(words[1:])
        elif name.startswith("python"):
            return _python(words[1:], behind_shell=behind_shell)
        elif "--" in words and name not in PROGRAMS:  # wait-for-it.sh db:5432 -- gunicorn …
            words = words[words.index("--") + 1 :]
        elif len(words) > 1 and ENTRYPOINT.search(name):  # a script that is not here
            words.pop(0)
        else:
            return _program(name, words[1:], behind_shell=behind_shell)
    return None


def shell_commands(text: str) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Yield the commands of a line of shell, and whether each takes the shell's place."""
    text, more = fill_defaults(text), 1
    while more:
        text, more = SUBSTITUTION.subn("$", text)
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = "#"
    try:
        tokens = list(lexer)
    except ValueError:  # an open quote: it goes on in the next line
        return
    words: list[str] = []
    for token in [*tokens, ";"]:
        if token not in ENDS:
            words.append(token)
        elif words:
            yield tuple(words), words[0] == "exec"
            words = []


def split(text: str) -> tuple[str, ...]:
    """Split a line into words as Compose and systemd do; empty: a quote is open."""
    try:
        return tuple(shlex.split(fill_defaults(text)))
    except ValueError:
        return ()


def fill_defaults(text: str) -> str:
    """Put the default of ``${NAME:-default}`` in its place."""
    return WITH_DEFAULT.sub(r"\1", text).replace("$$", "$")


def _launched(words: list[str], own: int) -> list[str]:
    while words and (words[0].startswith("-") or words[0] in SUBCOMMANDS):
        del words[: 2 if words[0] in WITH_VALUE else 1]
    return words[own:]


def _in_shell(words: Sequence[str]) -> Started | None:
    """Look into ``sh -c '…'``; a script that is named is a file of its own."""
    for option, text in pairwise(words):
        if option.startswith("-") and not option.startswith("--") and "c" in option:
            lines = text.replace("\\\n", " ").split("\n")
            commands = [each for line in lines for each in shell_commands(line)]
            for command, takes_its_place in reversed(commands):
                if found := started(command, behind_shell=not takes_its_place):
                    return found
    return None


def _python(words: Sequence[str], *, behind_shell: bool) -> Started | None:
    for number, word in enumerate(words):
        if word == "-m" and number + 1 < len(words):
            return _program(words[number + 1], words[number + 2 :], behind_shell=behind_shell)
        if not word.startswith("-"):
            return Started("python", tuple(words[number:]), behind_shell)
    return None


def _program(name: str, arguments: Sequence[str], *, behind_shell: bool) -> Started | None:
    kind = PROGRAMS.get(name)
    if kind is None or (kind == "flask" and "run" not in arguments):
        return None
    return Started(kind, tuple(arguments), behind_shell)
