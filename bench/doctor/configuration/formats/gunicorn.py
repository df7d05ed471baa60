"""gunicorn: its configuration file, which is Python, and its command line."""

import ast
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.doctor.configuration.formats.text import TextFile
from bench.doctor.configuration.model import Setting, Settings
from bench.doctor.findings import Evidence
from bench.own_app.app import OwnApp
from bench.own_app.scripts import run_script
from bench.processes.guardian import Guardian

SCRIPT = Path(__file__).with_name("gunicorn_values.py")
EVALUATED_WITHIN = 20.0
"""Seconds for a configuration file, which may import a part of the app."""
DISTRIBUTIONS = ("gevent", "gunicorn", "uwsgi", "pyuwsgi")

NAMES = frozenset(
    {
        "accesslog", "backlog", "bind", "control_socket_disable", "graceful_timeout", "keepalive",
        "logconfig", "loglevel", "max_requests", "max_requests_jitter", "preload_app", "reload",
        "reuse_port", "threads", "timeout", "worker_class", "worker_connections", "worker_tmp_dir",
        "workers", "wsgi_app",
    }
)  # fmt: skip
"""Settings that the rules look at, and a few by which a configuration file is recognised."""
NO_SWITCHES = frozenset(
    {
        "backlog", "graceful_timeout", "keepalive", "max_requests", "max_requests_jitter",
        "threads", "timeout", "worker_class", "worker_connections", "workers",
    }
)  # fmt: skip
"""Those whose expression, where they are computed, says no less than nothing."""
ONLY_GUNICORNS = frozenset(
    {"graceful_timeout", "preload_app", "worker_class", "worker_connections", "worker_tmp_dir"}
)
OPTIONS = {
    "-b": "bind", "-w": "workers", "-k": "worker_class", "-t": "timeout", "-c": "config",
    "--keep-alive": "keepalive", "--preload": "preload_app", "--access-logfile": "accesslog",
    "--no-control-socket": "control_socket_disable", "--log-level": "loglevel",
    "-D": "daemon", "-R": "enable_stdio_inheritance", "-e": "raw_env", "-p": "pidfile",
    "-u": "user", "-g": "group", "-m": "umask", "-n": "proc_name",
}  # fmt: skip
"""Those whose name is not that of the setting."""
FLAGS = frozenset(
    {
        "reload", "preload_app", "daemon", "control_socket_disable", "reuse_port", "check_config",
        "capture_output", "enable_stdio_inheritance", "initgroups", "log_syslog", "spew",
        "print_config", "no_sendfile", "disable_redirect_access_to_syslog", "strip_header_spaces",
        "do_handshake_on_connect", "suppress_ragged_eofs",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Evaluated:
    """A configuration file, as the app's interpreter sees it."""

    settings: Settings = field(default_factory=Settings)
    patches_first: bool = False
    error: str | None = None
    """Why it could not be evaluated; then the settings are those that stand there as constants.

    What is computed there is the expression: given, and not known.
    """
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of the servers that are installed there."""


def is_configuration(file: TextFile) -> bool:
    """Say whether a Python file is one of gunicorn's: it will be executed, so no other may pass."""
    names = set(_lines(_parsed(file)))
    if "gunicorn" in file.path.name.lower():
        return bool(names & NAMES)
    return bool(names & ONLY_GUNICORNS) and len(names & NAMES) > 1


def evaluate(file: TextFile | None, app: OwnApp, guardian: Guardian) -> Evaluated:
    """Evaluate a file in the app's interpreter; without one, ask for versions only."""
    request = {
        "file": str(file.path) if file else None,
        "names": sorted(NAMES),
        "distributions": DISTRIBUTIONS,
    }
    outcome = run_script(app, SCRIPT, request, guardian=guardian, seconds=EVALUATED_WITHIN)
    result: Mapping[str, Any] = outcome.result or {}
    versions = result.get("versions", {})
    if file is None:
        return Evaluated(versions=versions)
    written = replace(as_written(file), versions=versions)
    if "values" not in result:
        end = outcome.output.strip()[-200:] or "silently"
        return replace(written, error=result.get("error") or f"it did not come to an end ({end})")
    lines = _lines(_parsed(file))
    settings = (Setting(n, value, file.at(lines.get(n))) for n, value in result["values"].items())
    return replace(written, settings=Settings(tuple(settings)))


def as_written(file: TextFile) -> Evaluated:
    """Return what a file says without being executed: the settings that are constants there."""
    tree = _parsed(file)
    lines = _lines(tree)
    settings = (Setting(n, value, file.at(lines[n])) for n, value in _constants(tree).items())
    return Evaluated(Settings(tuple(settings)), patches_first=patches_first(tree))


def patches_first(
    tree: ast.Module, imported_patches: Callable[[str], bool] = lambda _name: False
) -> bool:
    """Say whether a module calls ``patch_all()`` before it imports more than the standard library.

    What of the standard library is imported before is patched in place; who has taken a name out of
    it (``from socket import socket``) is another library.

    Args:
        tree: the module.
        imported_patches: whether a module of this name is one that itself patches first.

    """
    for node in tree.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            if ast.unparse(node.value.func).rpartition(".")[2] == "patch_all":
                return True
        elif isinstance(node, ast.Import | ast.ImportFrom):
            others = [name for name in imports(node) if not _may_precede(name)]
            if others:
                return imported_patches(others[0])
    return False


def read_arguments(arguments: Sequence[str], evidence: Evidence) -> tuple[Settings, str | None]:
    """Return the settings of a command line, and the configuration file that it names."""
    found, config = [], None
    for name, value in _options(arguments):
        if name == "config":
            config = str(value).removeprefix("file:")
        else:
            found.append(Setting(name, value, evidence))
    return Settings(tuple(found)), config


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, object]]:
    left = list(arguments)
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            yield "wsgi_app", word
            continue
        option, equals, value = word.partition("=")
        if not option.startswith("--"):
            option, value, equals = word[:2], word[2:], word[2:]
        name = OPTIONS.get(option, option.lstrip("-").replace("-", "_"))
        if name in FLAGS:
            yield name, True
        elif equals:
            yield name, value
        else:
            yield name, left.pop(0) if left else ""


def imports(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Return the names of the modules that a statement imports; ``.`` for a relative one."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return ["." if node.level else node.module or ""]


def _may_precede(module: str) -> bool:
    top = module.partition(".")[0]
    return top == "gevent" or top in sys.stdlib_module_names


def _parsed(file: TextFile) -> ast.Module:
    try:
        return ast.parse(file.text)
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def _lines(tree: ast.Module) -> dict[str, int]:
    """Return the line of each name's last assignment, be it under an ``if``."""
    found = {}
    for node in _statements(tree.body):
        for target in _targets(node):
            found[target] = node.lineno
    return found


def _constants(tree: ast.Module) -> dict[str, object]:
    found: dict[str, object] = {}
    for node in _statements(tree.body):
        value = getattr(node, "value", None)
        names = [name for name in _targets(node) if name in NAMES]
        if isinstance(value, ast.Constant):
            found |= dict.fromkeys(names, value.value)
        elif isinstance(value, ast.expr):
            found |= {name: ast.unparse(value) for name in names if name in NO_SWITCHES}
    return found


def _targets(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            for part in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(node, part, []))
