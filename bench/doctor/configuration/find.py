"""Which files of an app configure its servers, and what kind each is."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from bench.doctor.configuration.formats import gunicorn, kubernetes, nginx
from bench.doctor.configuration.formats.located_yaml import read_yaml
from bench.doctor.configuration.formats.text import TextFile, read_text
from bench.errors import UsageError

Kind = Literal[
    "gunicorn", "uwsgi", "nginx", "dockerfile", "compose", "kubernetes", "systemd", "procfile",
    "script",
]  # fmt: skip

FOLDERS = (
    "deploy", "deployment", "docker", ".docker", "nginx", "conf", "conf.d", "config", "etc",
    "compose", "systemd", "k8s", "kubernetes", "uwsgi", "gunicorn", "scripts", "bin", "ops",
)  # fmt: skip
"""Looked through with the folders in them: no virtual environment is among these."""
NAMES = ("Dockerfile*", "*.Dockerfile", "Containerfile*", "Procfile*", "*entrypoint*")
SHELL = re.compile(r"#!.*\b(ba|da|a|z)?sh\b")
SUFFIXES = frozenset(
    {".py", ".ini", ".conf", ".template", ".yml", ".yaml", ".service", ".sh", ".dockerfile"}
)
MOST_BYTES = 256 * 1024
"""A larger file was not written by hand."""

KNOWN = (
    "a gunicorn configuration (.py), uWSGI's (.ini, .yml), nginx's (.conf), a Dockerfile, a Compose"
    " or Kubernetes file (.yml), a systemd unit (.service), a Procfile, a shell script (.sh)"
)


def found(folder: Path) -> Iterator[tuple[Kind, TextFile]]:
    """Yield the files in an app's folder that configure servers; what cannot be read is none."""
    for path in _candidates(folder):
        try:
            file = read_text(path, folder)
            kind = kind_of(file)
            if kind == "nginx":  # or another program's file with braces
                nginx.read_nginx(file)
        except UsageError:
            continue
        if kind is not None:
            yield kind, file


def named(files: Sequence[Path], folder: Path) -> Iterator[tuple[Kind, TextFile]]:
    """Yield the files that the user names.

    Raises:
        UsageError: one cannot be read, or is nothing that is known.

    """
    for path in files:
        file = read_text(path.expanduser(), folder)
        kind = kind_of(file)
        if kind is None:
            raise UsageError(f"{path} configures no server that is known here. Give {KNOWN}.")
        yield kind, file


def kind_of(file: TextFile) -> Kind | None:
    """Say by its name and content what a file configures; ``None``: no server.

    Raises:
        UsageError: by its name it is YAML, and it is not.

    """
    name, suffix = file.path.name.lower(), file.path.suffix.lower()
    if suffix == ".dockerfile" or re.fullmatch(r"(docker|container)file(\..*)?", name):
        return "dockerfile"
    if re.fullmatch(r"procfile(\..*)?", name):
        return "procfile"
    if suffix in {".yml", ".yaml"}:
        return _kind_of_yaml(file)
    if suffix == ".sh" or SHELL.match(file.text):
        return "script"
    by_suffix: dict[str, tuple[Kind, bool]] = {
        ".service": ("systemd", True),
        ".py": ("gunicorn", gunicorn.is_configuration(file)),
        ".ini": ("uwsgi", re.search(r"^\s*\[uwsgi\]", file.text, re.MULTILINE) is not None),
    }
    if suffix in {"", ".conf", ".template", ".nginx"}:
        by_suffix[suffix] = ("nginx", nginx.looks_like_nginx(file.text))
    kind, is_one = by_suffix.get(suffix, ("script", False))
    return kind if is_one else None


def _kind_of_yaml(file: TextFile) -> Kind | None:
    for document in read_yaml(file):
        if kubernetes.is_manifest(document):
            return "kubernetes"
        if "services" in document:
            return "compose"
        if "uwsgi" in document:
            return "uwsgi"
    return None


def _candidates(folder: Path) -> Iterator[Path]:
    """Yield files that may be some: of the folder itself, and two levels deep of the usual ones."""
    for inside in dict.fromkeys(_folders(folder)):
        patterns = (*NAMES, "*") if "nginx" in inside.name else NAMES
        chosen = {path for pattern in patterns for path in inside.glob(pattern)}
        chosen |= {path for path in inside.iterdir() if path.suffix.lower() in SUFFIXES}
        for path in sorted(chosen):
            if path.is_file() and path.stat().st_size <= MOST_BYTES:
                yield path


def _folders(folder: Path) -> Iterator[Path]:
    yield folder
    for name in FOLDERS:
        usual = folder / name
        if _is_open(usual):
            yield usual
            yield from (path for path in sorted(usual.iterdir()) if _is_open(path))


def _is_open(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)
