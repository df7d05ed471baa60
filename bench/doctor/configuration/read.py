"""Files → facts: each server with all of its settings, and with what starts and stops it."""

import ast
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from bench.doctor.configuration.find import Kind
from bench.doctor.configuration.formats import (
    compose,
    dockerfile,
    gunicorn,
    kubernetes,
    nginx,
    scripts,
    systemd,
    uwsgi,
)
from bench.doctor.configuration.formats.commands import Started, split, started
from bench.doctor.configuration.formats.located_yaml import read_yaml
from bench.doctor.configuration.formats.text import TextFile, read_text
from bench.doctor.configuration.model import (
    Command,
    Directive,
    Facts,
    Limits,
    Server,
    Setting,
    Settings,
    Supervisor,
)
from bench.doctor.findings import Evidence
from bench.errors import UsageError
from bench.model import Deployment

NOBODY = Supervisor("script", "", Evidence(""))
"""For a configuration file that no command line here names."""


Evaluate = Callable[[TextFile | None], gunicorn.Evaluated]
"""Evaluates a configuration of gunicorn's; without one it tells the versions of the servers."""


def facts(
    files: Iterable[tuple[Kind, TextFile]],
    folder: Path,
    evaluate: Evaluate,
    *,
    limits: Limits,
    deployments: Sequence[Deployment] = (),
) -> Facts:
    """Read them all; the folder is the app's.

    Raises:
        UsageError: one is not what its name says.

    """
    reader = _Reader(tuple(files), folder, evaluate)
    servers = tuple(reader.servers())
    return Facts(
        servers,
        reader.supervisors,
        reader.nginx,
        limits,
        reader.versions() if any(server.kind == "gunicorn" for server in servers) else {},
        tuple(deployments),
    )


class _Reader:
    """Knows which configuration files there are, and evaluates each once."""

    def __init__(
        self, files: tuple[tuple[Kind, TextFile], ...], folder: Path, evaluate: Evaluate
    ) -> None:
        self._folder = folder
        self._evaluate = functools.cache(evaluate)
        self._evaluated: dict[Path, gunicorn.Evaluated] = {}
        self._files = {
            kind: [file for each, file in files if each == kind] for kind in ("gunicorn", "uwsgi")
        }
        self.nginx: tuple[Directive, ...] = tuple(
            nginx.read_nginx(file) for kind, file in files if kind == "nginx"
        )
        everything = [s for kind, file in files for s in _supervisors(kind, file, folder)]
        self.supervisors = tuple(_through_scripts(everything))

    def servers(self) -> Iterator[Server]:
        """Yield what is started, and what is configured without being started here."""
        used: set[Path] = set()
        for supervisor in self.supervisors:
            for command in supervisor.commands:
                if found := started(command.words, behind_shell=command.behind_shell):
                    server, files = self._server(found, command, supervisor)
                    used |= {file.path for file in files}
                    yield server
        for kind in self._files:
            for file in self._files[kind]:
                if file.path not in used:
                    words = (kind, "--ini" if kind == "uwsgi" else "--config", str(file.path))
                    alone = started(words)
                    if alone is not None:
                        server, _ = self._server(alone, Command(words, file.at(1)), NOBODY)
                        yield replace(server, supervisor=None, command=None)

    def versions(self) -> dict[str, str]:
        """Return the versions of the servers in the app's interpreter."""
        known = next(iter(self._evaluated.values()), None) or self._evaluate(None)
        return dict(known.versions)

    def _server(
        self, found: Started, command: Command, supervisor: Supervisor
    ) -> tuple[Server, list[TextFile]]:
        server = Server(
            found.kind, Settings(), command.evidence, supervisor,
            replace(command, behind_shell=found.behind_shell),
        )  # fmt: skip
        if found.kind == "gunicorn":
            return self._gunicorn(server, found.arguments)
        if found.kind == "uwsgi":
            return self._uwsgi(server, found.arguments)
        if found.kind == "python":
            settings = Settings(tuple(self._runs_itself(found.arguments[0])))
        else:
            words = found.arguments
            settings = Settings(
                tuple(Setting(w.lstrip("-"), "", command.evidence) for w in words if w[:1] == "-")
            )
        return replace(server, settings=settings), []

    def _gunicorn(self, server: Server, arguments: Sequence[str]) -> tuple[Server, list[TextFile]]:
        environment = server.supervisor.environment if server.supervisor else {}
        variables = server.supervisor.variables if server.supervisor else {}
        extra, below = gunicorn.read_arguments(
            split(environment.get("GUNICORN_CMD_ARGS", "")),
            variables.get("GUNICORN_CMD_ARGS", server.evidence),
        )
        own, name = gunicorn.read_arguments(arguments, server.evidence)
        file = self._file("gunicorn", name or below or "gunicorn.conf.py")
        default = Settings()
        if "WEB_CONCURRENCY" in environment:
            default = Settings(
                (Setting("workers", environment["WEB_CONCURRENCY"], server.evidence),)
            )
        if file is None:
            settings = default | extra | own
            first = self._app_patches(settings, [])
            complete = not (name or below)
            return replace(server, settings=settings, patches_first=first, complete=complete), []
        if "WEB_CONCURRENCY" in file.text:  # evaluated without this environment
            extra = default | extra
        evaluated = self._evaluated[file.path] = self._evaluate(file)
        settings = default | evaluated.settings | extra | own
        if evaluated.error:
            settings |= Settings((Setting("unreadable", evaluated.error, file.at(1)),))
        first = evaluated.patches_first or self._app_patches(settings, [file])
        return replace(server, settings=settings, patches_first=first), [file]

    def _app_patches(self, settings: Settings, files: Sequence[TextFile]) -> bool:
        return any(each.value == "first" for each in self._module(settings, files))

    def _uwsgi(self, server: Server, arguments: Sequence[str]) -> tuple[Server, list[TextFile]]:
        supervisor = server.supervisor or NOBODY
        own, names = uwsgi.read_arguments(arguments, server.evidence)
        names = tuple(name.partition(":")[0] or name for name in names)  # app.ini:section
        files = [file for file in (self._file("uwsgi", name) for name in names) if file]
        settings = uwsgi.from_environment(supervisor.environment, supervisor.variables)
        for file in files:
            if file.path.suffix == ".ini":
                settings |= uwsgi.read_ini(file, supervisor.environment)
            else:
                for document in read_yaml(file):
                    settings |= uwsgi.read_yaml(file, document)
        settings |= own
        settings |= Settings(tuple(self._module(settings, files)))
        elsewhere = settings.last("emperor", *uwsgi.FILES, "xml", "json", "inherit")
        complete = elsewhere is None and len(files) == len(names)
        return replace(server, settings=settings, complete=complete), files

    def _file(self, kind: str, name: str) -> TextFile | None:
        """Return the file of this name: in an image it lies elsewhere, so the last part counts."""
        known = {file.path: file for file in self._files[kind]}
        exact = (self._folder / name).resolve()
        if exact in known:
            return known[exact]
        alike = [file for path, file in known.items() if path.name == PurePosixPath(name).name]
        if alike:
            return alike[0]
        try:
            return read_text(exact, self._folder) if exact.is_file() else None
        except UsageError:
            return None

    def _runs_itself(self, name: str) -> Iterator[Setting]:
        """Yield ``app-run`` if a script calls Flask's own ``run``."""
        file = self._source([self._folder / name])
        if file is None or "flask" not in file.text.lower():
            return
        for node in ast.walk(_parsed(file)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                of = ast.unparse(node.func.value).partition("(")[0].lower()
                if node.func.attr == "run" and of.endswith(("app", "application")):
                    yield Setting("app-run", True, file.at(node.lineno))

    def _module(self, settings: Settings, files: Sequence[TextFile]) -> Iterator[Setting]:
        """Yield ``module-patches``: what uWSGI imports patches gevent first, late or never."""
        given = settings.last("module", "wsgi-file", "file", "import", "shared-import", "wsgi_app")
        if given is None:
            return
        name = given.text.partition(":")[0]
        path = name if name.endswith(".py") else name.replace(".", "/") + ".py"
        places = [self._folder, *(file.path.parent for file in files)]
        file = self._source([place / path for place in places])
        if file is not None:
            yield Setting("module-patches", self._when_it_patches(file), file.at(1))

    def _when_it_patches(self, file: TextFile) -> str:
        """Return ``first``, ``late`` or ``never``; what it imports from beside it counts, too."""
        tree = _parsed(file)
        beside: dict[str, TextFile] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for name in gunicorn.imports(node):
                    path = Path(*name.split("."))
                    paths = (path.with_suffix(".py"), path / "__init__.py")
                    places = (file.path.parent, self._folder)
                    found = self._source(place / each for place in places for each in paths)
                    if name != "." and found:
                        beside[name] = found

        def patches(name: str) -> bool:
            return name in beside and gunicorn.patches_first(_parsed(beside[name]))

        if gunicorn.patches_first(tree, patches):
            return "first"
        texts = (file.text, *(other.text for other in beside.values()))
        return "late" if any("patch_all" in text for text in texts) else "never"

    def _source(self, paths: Iterable[Path]) -> TextFile | None:
        for path in paths:
            try:
                if path.is_file():
                    return read_text(path, self._folder)
            except UsageError:
                continue
        return None


def _parsed(file: TextFile) -> ast.Module:
    try:
        return ast.parse(file.text)
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def _supervisors(kind: Kind, file: TextFile, folder: Path) -> Iterator[Supervisor]:
    if kind == "procfile":
        yield from scripts.read_procfile(file)
    elif kind == "compose":
        for document in read_yaml(file):
            yield from compose.read_compose(file, document, folder)
    elif kind == "kubernetes":
        for document in filter(kubernetes.is_manifest, read_yaml(file)):
            yield from kubernetes.read_manifest(file, document)
    else:
        readers: dict[Kind, Callable[[TextFile], Supervisor | None]] = {
            "dockerfile": dockerfile.read_dockerfile,
            "systemd": functools.partial(systemd.read_unit, folder=folder),
            "script": scripts.read_script,
        }
        found = readers[kind](file) if kind in readers else None
        if found is not None:
            yield found


def _through_scripts(supervisors: Sequence[Supervisor]) -> Iterator[Supervisor]:
    """Yield them with what their scripts start, and the other scripts by themselves."""
    known = {each.name: each for each in supervisors if each.kind == "script"}
    used = set()
    for supervisor in supervisors:
        if supervisor.kind == "script":
            continue
        commands: list[Command] = []
        for command in supervisor.commands:
            names = [PurePosixPath(word).name for word in command.words]
            script = next((name for name in names if name in known), None)
            if script is None:
                commands.append(command)
                continue
            used.add(script)
            commands += known[script].commands
            if rest := command.words[names.index(script) + 1 :]:  # for its `exec "$@"`
                commands.append(replace(command, words=rest))
        yield replace(supervisor, commands=tuple(commands))
    yield from (script for name, script in known.items() if name not in used)
