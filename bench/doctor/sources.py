"""The app's own source as its checks see it: calls by their full names, and who makes them.

Nothing is executed. A name is followed through imports and through plain assignments of one call;
what cannot be followed for sure is left out, so that nothing is said of it.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from bench.doctor.findings import Evidence
from bench.doctor.functions import Call, Function, is_main_guard
from bench.doctor.reader import Reader


@dataclass(frozen=True)
class Source:
    """One file."""

    module: str
    file: Path
    text: str
    tree: ast.Module = field(repr=False)
    reader: Reader = field(repr=False)

    @cached_property
    def of_a_shell(self) -> frozenset[ast.AST]:
        """All nodes of commands and below ``__main__``: what runs from a shell only."""
        commands = (each.node for each in self.reader.functions.values() if each.is_command)
        guarded = (
            inner
            for node in ast.walk(self.tree)
            if isinstance(node, ast.If) and is_main_guard(node)
            for inner in node.body
        )
        return frozenset(node for top in (*commands, *guarded) for node in ast.walk(top))

    def evidence(self, line: int) -> Evidence:
        """Return a line of it."""
        lines = self.text.splitlines()
        shown = lines[line - 1].strip() if 0 < line <= len(lines) else ""
        return Evidence(shown, str(self.file), line)


@dataclass(frozen=True)
class Use:
    """A call, where it stands."""

    source: Source
    call: Call

    @property
    def evidence(self) -> Evidence:
        """Its first line."""
        return self.source.evidence(self.call.node.lineno)

    @property
    def where(self) -> str:
        """Say in which function, or that it is none."""
        return self.call.function.name if self.call.function else "the module's top level"

    @property
    def is_kept(self) -> bool:
        """Whether its result may outlive the request: in an object, a global or a cache."""
        function = self.call.function
        if function is None or (function.node.decorator_list and not function.is_view):
            return True
        for node in ast.walk(function.node):
            if isinstance(node, ast.Assign) and self.call.node in ast.walk(node.value):
                return any(_outlives(target, function) for target in node.targets)
        return False


def _outlives(target: ast.expr, function: Function) -> bool:
    if isinstance(target, ast.Attribute):
        return ast.unparse(target.value) not in {"g", "flask.g"}  # Flask's g ends with the request
    if isinstance(target, ast.Name):
        return target.id not in function.locals  # declared global
    return isinstance(target, ast.Subscript)


@dataclass(frozen=True)
class Sources:
    """All files of the app's own that its import loaded."""

    by_module: Mapping[str, Source]

    def __iter__(self) -> Iterator[Source]:
        return iter(self.by_module.values())

    def __len__(self) -> int:
        return len(self.by_module)

    def calls(self, *names: str) -> Iterator[Use]:
        """Yield the calls of these full names, as in ``requests.get``."""
        for source in self:
            for call in source.reader.calls:
                if call.name in names:
                    yield Use(source, call)

    def imports(self, *packages: str) -> Iterator[tuple[Source, str, int]]:
        """Yield source, package and line wherever one of these is imported."""
        for source in self:
            for name, line in source.reader.imports:
                for package in packages:
                    if name == package or name.startswith(f"{package}."):
                        yield source, package, line

    def subclasses(self, base: str) -> Iterator[ast.ClassDef]:
        """Yield the own classes that have a base of this last name."""
        for source in self:
            for node in ast.walk(source.tree):
                if isinstance(node, ast.ClassDef):
                    bases = (ast.unparse(each).rpartition(".")[2] for each in node.bases)
                    if base in bases:
                        yield node

    def in_request(self, use: Use) -> bool:
        """Tell whether a call is made while a request is served, as far as that can be followed."""
        made_by = use.call.function
        return made_by is not None and (use.source.module, made_by.qualified) in self._serving

    @cached_property
    def _serving(self) -> frozenset[tuple[str, str]]:
        """Follow own functions from the views on."""
        todo = [
            (source.module, function.qualified)
            for source in self
            for function in source.reader.functions.values()
            if function.is_view
        ]
        reached: set[tuple[str, str]] = set()
        while todo:
            module, qualified = todo.pop()
            if (module, qualified) in reached:
                continue
            reached.add((module, qualified))
            reader = self.by_module[module].reader
            inner = (name for name in reader.functions if name.startswith(f"{qualified}."))
            todo.extend((module, name) for name in inner)
            for name in reader.functions[qualified].calls:
                found = self._own_function(name)
                if found:
                    todo.append(found)
        return frozenset(reached)

    def _own_function(self, name: str, depth: int = 4) -> tuple[str, str] | None:
        """Return the module and function behind a full name, through what packages hand on."""
        parts = name.split(".")
        for cut in range(len(parts) - 1, 0, -1):
            module, rest = ".".join(parts[:cut]), ".".join(parts[cut:])
            if module not in self.by_module:
                continue
            reader = self.by_module[module].reader
            if rest in reader.functions:
                return module, rest
            handed_on = reader.names.get(parts[cut])
            if handed_on and depth:
                return self._own_function(".".join([handed_on, *parts[cut + 1 :]]), depth - 1)
            return None
        return None


def read_sources(files: Mapping[str, str]) -> Sources:
    """Read modules (name → file); those that are no readable Python any more are left out."""
    found = {}
    for module, file in sorted(files.items()):
        source = read_source(module, Path(file))
        if source is not None:
            found[module] = source
    return Sources(found)


def read_source(module: str, file: Path) -> Source | None:
    """Read one file; ``None`` if this Python cannot."""
    try:
        text = file.read_text("utf-8")
        tree = ast.parse(text)
    except (OSError, UnicodeDecodeError, SyntaxError, ValueError, RecursionError):
        return None
    reader = Reader(module, is_package=file.name == "__init__.py")
    reader.read(tree)
    return Source(module, file, text, tree, reader)
