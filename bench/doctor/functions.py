"""A function as the checks see it: whether Flask calls it, and what its names mean."""

import ast
from dataclasses import dataclass, field

ROUTES = frozenset({"route", "get", "post", "put", "delete", "patch"})
HOOKS = frozenset(
    {
        "before_request", "after_request", "teardown_request", "errorhandler",
        "before_app_request", "after_app_request", "teardown_app_request", "app_errorhandler",
        "context_processor", "app_context_processor",
    }
)  # fmt: skip
OTHER_FRAMEWORKS = frozenset({"quart", "fastapi", "starlette", "sanic", "litestar", "aiohttp.web"})
"""Whose routes look alike, and are served in another way."""
COMMANDS = frozenset({"command", "group", "shell_context_processor"})
VIEW_CLASSES = frozenset(
    {
        "flask.views.MethodView", "flask.views.View", "flask_restful.Resource",
        "flask_restx.Resource", "flask_smorest.MethodView",
    }
)  # fmt: skip
VIEW_METHODS = frozenset({"dispatch_request", "get", "post", "put", "delete", "patch", "head"})


@dataclass
class Function:
    """A function, a method, or one defined in another."""

    qualified: str
    """``Class.method``, ``outer.inner``."""
    node: ast.FunctionDef | ast.AsyncFunctionDef
    is_view: bool
    is_command: bool = False
    """It is called from a shell: ``@app.cli.command()``."""
    calls: set[str] = field(default_factory=set)
    locals: set[str] = field(default_factory=set)
    """Names that mean something else here than in the module."""
    instances: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As one speaks of it."""
        return f"{self.qualified}()"


@dataclass(frozen=True)
class Call:
    """A call by a name that could be followed."""

    name: str
    node: ast.Call
    function: Function | None
    """``None``: it is made when the module is imported."""
    guarded: bool
    """Below ``if __name__ == "__main__"``."""

    def argument(self, name: str, position: int | None = None) -> ast.expr | None:
        """Return an argument by its name, or by its place."""
        for keyword in self.node.keywords:
            if keyword.arg == name:
                return keyword.value
        if position is not None and len(self.node.args) > position:
            return self.node.args[position]
        return None

    @property
    def is_of_a_shell(self) -> bool:
        """Whether it is made from a shell only, where no server and no patch is."""
        return self.guarded or bool(self.function and self.function.is_command)

    @property
    def is_open(self) -> bool:
        """Whether it is given arguments that cannot be seen here."""
        starred = any(isinstance(each, ast.Starred) for each in self.node.args)
        return starred or any(keyword.arg is None for keyword in self.node.keywords)


def makes_view(decorator: ast.expr) -> bool:
    """Tell whether a decorator makes a view or a hook of Flask's of its function."""
    name = attribute(decorator)
    if name in HOOKS:
        return True
    if name not in ROUTES or not isinstance(decorator, ast.Call):
        return False
    rules = [*decorator.args[:1], *(k.value for k in decorator.keywords if k.arg == "rule")]
    texts = [rule.value for rule in rules if isinstance(rule, ast.Constant)]
    # a path, so that mock.patch("shop.clients") is none
    return any(
        isinstance(text, str) and (text.startswith("/") or name == "route") for text in texts
    )


def is_main_guard(node: ast.If) -> bool:
    """Tell whether what is below runs only when the file is the program."""
    return "__name__" in ast.unparse(node.test)


def attribute(node: ast.expr) -> str | None:
    """Return ``get`` of ``app.get`` and of ``app.get("/")``."""
    called = node.func if isinstance(node, ast.Call) else node
    return called.attr if isinstance(called, ast.Attribute) else None


def locals_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Return parameters and assigned names: these hide the module's."""
    arguments = node.args
    found = {
        each.arg
        for each in (
            *arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs,
            *filter(None, (arguments.vararg, arguments.kwarg)),
        )
    }  # fmt: skip
    shared = {
        name
        for each in ast.walk(node)
        if isinstance(each, ast.Global | ast.Nonlocal)
        for name in each.names
    }
    stored = {
        each.id
        for each in ast.walk(node)
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    }
    return (found | stored) - shared
