"""``deployments.toml`` and ``workloads.toml`` as model objects; all their problems at once."""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from bench.errors import UsageError
from bench.model import Deployment, Load, Workload

HERE = Path(__file__).parent

T = TypeVar("T")


@dataclass(frozen=True)
class Catalog:
    """Everything that can be run, by name, in the order of the files."""

    deployments: Mapping[str, Deployment]
    workloads: Mapping[str, Workload]

    def deployment(self, name: str) -> Deployment:
        """Return the deployment of this name.

        Raises:
            UsageError: there is none; the text names the nearest one and lists them all.

        """
        return _look_up(self.deployments, name, "deployment")

    def workload(self, name: str) -> Workload:
        """Return the workload of this name; errors as in `deployment`."""
        return _look_up(self.workloads, name, "workload")

    def chosen(self, names: Iterable[str], workload: Workload) -> tuple[Deployment, ...]:
        """Return the deployments of these names that suit the workload; no name means all.

        Raises:
            UsageError: an unknown name, or a deployment that needs what the workload lacks.

        """
        names = tuple(dict.fromkeys(names))
        if not names:
            return tuple(d for d in self.deployments.values() if not _lacking(d, workload))
        deployments = tuple(self.deployment(name) for name in names)
        for deployment in deployments:
            if lacking := _lacking(deployment, workload):
                suitable = [w.name for w in self.workloads.values() if not _lacking(deployment, w)]
                raise UsageError(
                    f"{deployment.name} only says something where the workload uses the"
                    f" {' and the '.join(lacking)}, and {workload.name} does not."
                    f" Try WORKLOAD={' or WORKLOAD='.join(suitable)}."
                )
        return deployments


def load_catalog(folder: Path = HERE) -> Catalog:
    """Read both files from a folder.

    Raises:
        UsageError: the files have problems; the text lists every one of them.

    """
    problems: list[str] = []
    deployments = _read(folder / "deployments.toml", Deployment, problems)
    workloads = _read(folder / "workloads.toml", Workload, problems, _fold_load)
    for workload in workloads.values():
        problems += [
            f"workloads.toml: {workload.name}.load_for.{name}: no deployment has this name"
            for name in workload.load_for
            if name not in deployments
        ]
    if problems:
        raise UsageError("the catalog has problems:\n  " + "\n  ".join(problems))
    return Catalog(deployments, workloads)


def _read(
    file: Path,
    kind: type[T],
    problems: list[str],
    prepare: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
) -> dict[str, T]:
    """Validate every table of a file; what is wrong is added to the problems."""
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problems.append(f"{file.name}: {error}")
        return {}
    adapter = TypeAdapter(kind)
    found = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            problems.append(f"{file.name}: {name}: not a table: write [{name}]")
            continue
        try:
            found[name] = adapter.validate_python({"name": name, **prepare(table)})
        except ValidationError as error:
            problems += [
                f"{file.name}: {'.'.join(map(str, (name, *e['loc'])))}: {e['msg']}"
                for e in error.errors()
            ]
        except TypeError as error:
            problems.append(f"{file.name}: {name}: {error}")
    return found


LOAD_KEYS = frozenset(Load.__dataclass_fields__)


def _fold_load(table: Mapping[str, Any]) -> dict[str, Any]:
    """Gather a workload table's load keys, which stand in it directly, into its ``load``."""
    rest = {key: value for key, value in table.items() if key not in LOAD_KEYS}
    return rest | {"load": {key: table[key] for key in LOAD_KEYS & table.keys()}}


def _lacking(deployment: Deployment, workload: Workload) -> list[str]:
    return [service for service in deployment.needs if service not in workload.uses]


def _look_up(known: Mapping[str, T], name: str, kind: str) -> T:
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise UsageError(f"no {kind} is called {name!r}.{hint}\nKnown: {', '.join(known)}")
