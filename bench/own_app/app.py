"""What the user says of an app: checked at the edge, before anything is started."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import UsageError

SPEC = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*(\(\))?)?")
"""``module:app`` or ``module:create_app()``, as the entrypoints in flask_app/ understand it."""
DEMO_APP = "app:app"
ENVIRONMENT_LINE = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*)")


@dataclass(frozen=True)
class OwnApp:
    """An app to serve: what is imported, from where, by which interpreter, in what environment."""

    spec: str
    """``module:app`` or ``module:create_app()``."""
    folder: Path
    """Where its modules are looked for first, and its working directory; absolute."""
    python: Path = field(default_factory=lambda: Path(sys.executable))
    """The interpreter of its virtual environment; absolute, links not followed."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What it finds in its environment beside the settings; may hold secrets."""

    @property
    def module(self) -> str:
        """The module that is imported."""
        return self.spec.partition(":")[0]

    @property
    def has_own_python(self) -> bool:
        """Whether it lives in another virtual environment than this program."""
        return self.python != Path(sys.executable)


def own_app(
    spec: str,
    *,
    folder: Path | None = None,
    python: Path | None = None,
    env_file: Path | None = None,
) -> OwnApp:
    """Return the app that the user describes; a part that is ``None`` is this program's own.

    Raises:
        UsageError: a part of it cannot be: no such folder, no interpreter, no app in the text.

    """
    if not SPEC.fullmatch(spec):
        raise UsageError(
            f"{spec!r} names no app: give module:app or module:create_app(), as in shop.wsgi:app"
            " (a factory that takes arguments needs a module of yours that calls it)"
        )
    where = (folder or Path.cwd()).expanduser()
    if not where.is_dir():
        raise UsageError(f"--app-dir: there is no folder {where}")
    interpreter = Path(sys.executable) if python is None else python.expanduser()
    if interpreter.is_dir():  # a virtual environment: its interpreter is meant
        interpreter /= "bin/python"
    if not (interpreter.is_file() and os.access(interpreter, os.X_OK)):
        raise UsageError(
            f"--python: {interpreter} is no interpreter; give the one of the app's virtual"
            " environment, as in ~/shop/.venv/bin/python"
        )
    environment = read_environment(env_file.expanduser()) if env_file else {}
    # absolute, but a link stays one: it is what makes a virtual environment of an interpreter
    return OwnApp(spec, where.resolve(), Path(os.path.abspath(interpreter)), environment)  # noqa: PTH100


def own_app_or_demo(
    checkout: Path,
    spec: str | None,
    *,
    folder: Path | None,
    python: Path | None,
    env_file: Path | None,
) -> OwnApp:
    """Return the app that the user describes, or the checkout's own where he describes none.

    Raises:
        UsageError: as `own_app`, or he says something of an app that he does not name.

    """
    if spec is not None or folder is not None:
        return own_app(spec or DEMO_APP, folder=folder, python=python, env_file=env_file)
    if python or env_file:
        raise UsageError("--python and --env-file are an app's of your own: name it (--app)")
    return OwnApp(DEMO_APP, checkout / "flask_app")


def read_environment(file: Path) -> dict[str, str]:
    """Read ``NAME=value`` lines as ``docker run --env-file`` does, quotes around a value taken off.

    Raises:
        UsageError: the file cannot be read, or a line is none of these; the text has its number.

    """
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--env-file: {file} cannot be read: {error}") from error
    found = {}
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#"):
            continue
        match = ENVIRONMENT_LINE.fullmatch(line)
        if match is None:
            raise UsageError(f"--env-file: {file}:{number}: write NAME=value")
        name, value = match.groups()
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
        found[name] = value[1:-1] if quoted else value
    return found
