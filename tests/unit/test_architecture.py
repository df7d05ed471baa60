"""The house's rules on who may import whom, and on who exits or prints."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PURE = ("model", "plan", "analysis", "report")
IMPURE = ("runners", "services", "processes", "load")

PROGRAMS = {
    "bench.cli": "the command line",
    "bench.bootstrap": "a script of its own: it runs before there is anything to import",
    "bench.processes.guardian_helper": "a process of its own",
    "bench.load.builtin_client": "a process of its own",
    "bench.eject.app_probe": "runs in the app's interpreter",
    "bench.own_app.import_probe": "runs in the app's interpreter",
    "bench.doctor.blocking.served": "runs in the app's interpreter",
    "bench.doctor.configuration.formats.gunicorn_values": "runs in the app's interpreter",
    "bench.doctor.inside.look": "runs in the app's interpreter",
}
"""The modules that may print or exit, and why."""


def modules(root: Path, package: str = "bench") -> dict[str, Path]:
    found = {}
    for file in sorted((root / package).rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(module: str, file: Path) -> Iterator[str]:
    """Yield the full names of all that a module imports, wherever in it."""
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def is_within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def reached(start: str, known: dict[str, Path]) -> dict[str, str]:
    """Return every module that one imports, directly or not → the path of imports that leads to it.

    The packages around a module are not followed: their ``__init__`` says nothing here.
    """
    paths = {start: start}
    todo = [start]
    while todo:
        module = todo.pop()
        for name in imports(module, known[module]):
            if name in known and name not in paths:
                paths[name] = f"{paths[module]} → {name}"
                todo.append(name)
    return paths


def impure_imports(root: Path) -> list[str]:
    known = modules(root)
    impure = [f"bench.{name}" for name in IMPURE]
    return [
        path
        for module in known
        if is_within(module, *(f"bench.{name}" for name in PURE))
        for name, path in reached(module, known).items()
        if is_within(name, *impure)
    ]


def exits_and_prints(file: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        text = ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""
        if text in {"print", "exit", "quit", "SystemExit", "sys.exit", "os._exit"} or text in {
            *("sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__", "os.abort")
        }:
            found.append(f"{file.name}:{getattr(node, 'lineno', 0)}: {text}")
    return found


def tree(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        file = root / "bench" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_the_pure_parts_reach_nothing_that_starts_anything() -> None:
    assert impure_imports(ROOT) == []


def test_there_is_something_to_look_at() -> None:
    known = modules(ROOT)
    for name in (*PURE, *IMPURE):
        assert any(is_within(module, f"bench.{name}") for module in known), name
    assert "bench.model" in set(imports("bench.plan", known["bench.plan"]))
    assert any("bench.runners" in path for path in reached("bench.cli.run", known))


@pytest.mark.parametrize(
    "statement",
    [
        "import bench.services.postgres",
        "import bench.services.postgres as database",
        "from bench.services import postgres",
        "from bench import services",
        "from .services import postgres",
        "from . import services",
        "def late():\n    from bench.services.postgres import postgres",
        "if TYPE_CHECKING:\n    from bench.services.postgres import postgres",
        "from bench.helper import something",
    ],
)
def test_a_violation_would_be_seen(tmp_path: Path, statement: str) -> None:
    root = tree(
        tmp_path,
        {
            "__init__.py": "",
            "model.py": "",
            "plan.py": statement,
            "helper.py": "from bench.services.postgres import postgres",
            "services/__init__.py": "",
            "services/postgres.py": "",
        },
    )
    assert impure_imports(root) != []
    tree(root, {"plan.py": "import bench.model\nimport services\n"})
    assert impure_imports(root) == []


@pytest.mark.parametrize("folder", ["flask_app", "slow_api"])
def test_what_people_copy_does_not_know_the_harness(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for file in files:
        assert [name for name in imports(file.stem, file) if is_within(name, "bench")] == [], file


def test_only_the_command_line_exits_or_prints() -> None:
    found = [
        place
        for name, file in modules(ROOT).items()
        if not is_within(name, *PROGRAMS)
        for place in exits_and_prints(file)
    ]
    assert found == []


@pytest.mark.parametrize(
    "statement",
    [
        "print('x')",
        "import sys; sys.exit(1)",
        "raise SystemExit(2)",
        "import sys; sys.stderr.write('x')",
        "import os; os._exit(1)",
    ],
)
def test_an_exit_or_a_print_would_be_seen(tmp_path: Path, statement: str) -> None:
    (tmp_path / "module.py").write_text(statement)
    assert exits_and_prints(tmp_path / "module.py") != []


def test_the_programs_are_still_there() -> None:
    assert set(PROGRAMS) <= set(modules(ROOT))
