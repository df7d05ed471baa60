"""uWSGI: its .ini and .yml files, and its command line."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from bench.doctor.configuration.formats.located_yaml import Located
from bench.doctor.configuration.formats.text import TextFile
from bench.doctor.configuration.model import Setting, Settings
from bench.doctor.findings import Evidence

SHORT = {
    "p": "workers", "M": "master", "T": "enable-threads", "l": "listen", "b": "buffer-size",
    "s": "socket", "w": "module", "t": "harakiri", "i": "single-interpreter",
    "L": "disable-logging",
}  # fmt: skip
ALIASES = {"processes": "workers", "wsgi": "module", "lazy": "lazy-apps"}
FLAGS = frozenset(
    {
        "master", "die-on-term", "need-app", "strict", "lazy-apps", "lazy", "enable-threads",
        "single-interpreter", "vacuum", "disable-logging", "thunder-lock", "exit-on-reload",
        "gevent-monkey-patch", "gevent-early-monkey-patch", "http-keepalive", "memory-report",
    }
)  # fmt: skip
FILES = ("ini", "yaml", "yml")
"""Options that name a configuration file; also the suffixes of one that is given without any."""
SECTION = re.compile(r"\[(\w+)\]")
VARIABLE = re.compile(r"\$\((\w+)\)")


def read_ini(file: TextFile, environment: Mapping[str, str]) -> Settings:
    """Read the section ``[uwsgi]``: its ``if-env`` hold for this environment, other ifs always."""
    found: list[Setting] = []
    section, value, skipped = "", "", False
    for number, line in enumerate(map(str.strip, file.lines), start=1):
        if match := SECTION.fullmatch(line):
            section = match[1]
            continue
        name, _, text = (part.strip() for part in line.partition("="))
        if section != "uwsgi" or not name or name[0] in "#;":
            continue
        if name in {"if-env", "if-not-env"}:
            value = environment.get(text, "")
            skipped = (text in environment) != (name == "if-env")
        elif name == "endif":
            skipped = False
        elif not skipped and not name.startswith("if-"):
            filled = VARIABLE.sub(lambda m: environment.get(m[1], ""), text.replace("%(_)", value))
            found.append(_setting(name, filled, file.at(number)))
    return Settings(tuple(found))


def read_yaml(file: TextFile, content: Located) -> Settings:
    """Read the mapping ``uwsgi``; a list gives an option several times."""
    section = content.get("uwsgi")
    if not isinstance(section, Located):
        return Settings()
    found = []
    for name, value in section.items():
        for each in value if isinstance(value, list) else [value]:
            text = str(each).lower() if isinstance(each, bool) else str(each)
            found.append(_setting(name, text, file.at(section.lines.get(name))))
    return Settings(tuple(found))


def read_arguments(
    arguments: Sequence[str], evidence: Evidence
) -> tuple[Settings, tuple[str, ...]]:
    """Return the settings of a command line, and the files that it names."""
    found, files = [], []
    for name, value in _options(arguments):
        if name in FILES:
            files.append(value)
        else:
            found.append(_setting(name, value, evidence))
    return Settings(tuple(found)), tuple(files)


def from_environment(environment: Mapping[str, str], places: Mapping[str, Evidence]) -> Settings:
    """Return what uWSGI takes from variables such as ``UWSGI_LISTEN``."""
    return Settings(
        tuple(
            _setting(name.removeprefix("UWSGI_").lower().replace("_", "-"), value, places[name])
            for name, value in environment.items()
            if name.startswith("UWSGI_") and name in places
        )
    )


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    left = list(arguments)
    while left:
        word = left.pop(0)
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("-"):
            if (suffix := PurePosixPath(word).suffix.lstrip(".")) in FILES:
                yield suffix, word
            continue
        if not word.startswith("--"):
            name, value, equals = SHORT.get(word[1:2], word[1:2]), word[2:], word[2:]
        if not equals and name not in FLAGS and left and not left[0].startswith("-"):
            value = left.pop(0)
        yield name, value


def _setting(name: str, value: str, evidence: Evidence) -> Setting:
    name = name.strip().replace("_", "-")
    return Setting(ALIASES.get(name, name), value.strip("'\""), evidence)
