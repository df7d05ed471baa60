"""One module's syntax tree: its imports, functions and calls, each by its full name."""

import ast
from collections.abc import Iterator

from bench.doctor.functions import (
    COMMANDS,
    OTHER_FRAMEWORKS,
    VIEW_CLASSES,
    VIEW_METHODS,
    Call,
    Function,
    attribute,
    is_main_guard,
    locals_of,
    makes_view,
)

INSTANCES = {
    "requests.Session": "requests.Session()",
    "requests.session": "requests.Session()",
    "requests.sessions.Session": "requests.Session()",
    "asyncio.get_event_loop": "asyncio.loop()",
    "asyncio.new_event_loop": "asyncio.loop()",
}
"""What is followed when its result has a name: ``session.get`` is ``requests.Session().get``."""


class Reader(ast.NodeVisitor):
    """Goes through a module once."""

    def __init__(self, module: str, *, is_package: bool) -> None:
        parts = module.split(".")
        self._module = module
        self._package = parts if is_package else parts[:-1]
        self.names: dict[str, str] = {}
        """What the module's names stand for."""
        self.imports: list[tuple[str, int]] = []
        self.functions: dict[str, Function] = {}
        self.calls: list[Call] = []
        self.attributes: list[tuple[str, int]] = []
        """What is read of Flask's request: ``flask.request.remote_addr``, and its line."""
        self.lines_of_names: dict[str, int] = {}
        """Where each name of the module's top level last gets its value."""
        self._instances: dict[str, str] = {}
        self._classes: list[str] = []
        self._inside: list[Function] = []
        self._view_class = False
        self._guarded = False

    def read(self, tree: ast.Module) -> None:
        """Read it: the imports first, for a function may use what is imported below it."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._note_import(node)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.names[node.name] = f"{self._module}.{node.name}"
        self.visit(tree)
        self._mark_views()

    def resolve(self, node: ast.expr) -> str | None:
        """Return the full name of what an expression is, if that can be followed."""
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id == "self" and self._classes:
                return self._of_self(node.attr)
            base = self.resolve(node.value)
            return base and f"{base}.{node.attr}"
        if isinstance(node, ast.Call):
            return INSTANCES.get(self.resolve(node.func) or "")
        return self._of_name(node.id) if isinstance(node, ast.Name) else None

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Enter a class."""
        before = self._view_class
        self._view_class = any(self.resolve(base) in VIEW_CLASSES for base in node.bases)
        self._classes.append(node.name)
        if not self._inside:
            self._note_attributes(node)
        self.generic_visit(node)
        self._classes.pop()
        self._view_class = before

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Enter a function."""
        self._enter(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        """Enter an async function."""
        self._enter(node)

    def visit_If(self, node: ast.If) -> None:
        """Note what runs only when the file is the program."""
        if is_main_guard(node):
            before, self._guarded = self._guarded, True
            for each in node.body:
                self.visit(each)
            self._guarded = before
            for each in node.orelse:
                self.visit(each)
        else:
            self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        """Note a name for what a call makes."""
        self._assign(node.targets, node.value)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Note the same of one with a type."""
        if node.value is not None:
            self._assign([node.target], node.value)
        self.generic_visit(node)

    def visit_With(self, node: ast.With) -> None:
        """Note the same of ``with … as``."""
        for item in node.items:
            made = self.resolve(item.context_expr)
            if made and made.endswith("()") and item.optional_vars:
                self._note_instance(item.optional_vars, made)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Note what is read of the request."""
        name = self.resolve(node)
        if name and name.startswith("flask.request."):
            self.attributes.append((name, node.lineno))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Note a call."""
        name = self.resolve(node.func)
        inside = self._inside[-1] if self._inside else None
        if name:
            self.calls.append(Call(name, node, inside, self._guarded))
            if inside:
                inside.calls.add(name)
        self.generic_visit(node)

    def _enter(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        outer = self._inside[-1].qualified if self._inside else ".".join(self._classes)
        qualified = f"{outer}.{node.name}" if outer else node.name
        method = bool(self._classes) and not self._inside
        view = (method and self._view_class and node.name in VIEW_METHODS) or any(
            map(makes_view, node.decorator_list)
        )
        command = any(attribute(each) in COMMANDS for each in node.decorator_list)
        function = Function(qualified, node, view, command, locals=locals_of(node))
        self.functions[qualified] = function
        self._inside.append(function)
        for each in node.body:
            self.visit(each)
        self._inside.pop()

    def _of_name(self, name: str) -> str | None:
        for function in reversed(self._inside):
            if name in function.instances:
                return function.instances[name]
            if name in function.locals:
                return None
        return self._instances.get(name) or self.names.get(name)

    def _of_self(self, attribute: str) -> str | None:
        held = self._instances.get(f"{self._classes[-1]}.{attribute}")
        return held or f"{self._module}.{self._classes[-1]}.{attribute}"

    def _assign(self, targets: list[ast.expr], value: ast.expr) -> None:
        made = self.resolve(value) if isinstance(value, ast.Call) else None
        for target in targets:
            if isinstance(target, ast.Name) and not self._inside and not self._classes:
                self.lines_of_names[target.id] = target.lineno
            self._note_instance(target, made)

    def _note_instance(self, target: ast.expr, made: str | None) -> None:
        """Keep what a name is; with another value it is that no longer."""
        if not isinstance(target, ast.Name) or (self._classes and not self._inside):
            return
        known = self._inside[-1].instances if self._inside else self._instances
        if made:
            known[target.id] = made
        else:
            known.pop(target.id, None)

    def _note_attributes(self, node: ast.ClassDef) -> None:
        """Note what methods keep as ``self.…``, before the methods that use it are read."""
        for each in ast.walk(node):
            if isinstance(each, ast.Assign) and isinstance(each.value, ast.Call):
                made = self.resolve(each.value)
                for target in each.targets if made else ():
                    if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
                        self._instances[f"{node.name}.{target.attr}"] = made or ""

    def _note_import(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self.imports.append((alias.name, node.lineno))
                top = alias.name.partition(".")[0]
                self.names[alias.asname or top] = alias.name if alias.asname else top
                self.lines_of_names.setdefault(alias.asname or top, node.lineno)
            return
        above = self._package[: len(self._package) - node.level + 1] if node.level else []
        base = ".".join([*above, *filter(None, [node.module])])
        for alias in node.names:
            self.imports.append((f"{base}.{alias.name}", node.lineno))
            self.names[alias.asname or alias.name] = f"{base}.{alias.name}"
            self.lines_of_names.setdefault(alias.asname or alias.name, node.lineno)

    def _mark_views(self) -> None:
        """Mark what is given to ``add_url_rule``, too; in a file of another framework nothing."""
        imported = [f"{name}." for name, _ in self.imports]
        if any(name.startswith(f"{other}.") for name in imported for other in OTHER_FRAMEWORKS):
            for function in self.functions.values():
                function.is_view = False
            return
        for node in (call for call in self._every_call() if attribute(call) == "add_url_rule"):
            given = [keyword.value for keyword in node.keywords if keyword.arg == "view_func"]
            for value in [*given, *node.args[2:3]]:
                if isinstance(value, ast.Name) and value.id in self.functions:
                    self.functions[value.id].is_view = True

    def _every_call(self) -> Iterator[ast.Call]:
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call):
                yield node

    def visit_Module(self, node: ast.Module) -> None:
        """Keep the tree."""
        self._tree = node
        self.generic_visit(node)
