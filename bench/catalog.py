"""``deployments``, ``variants`` and ``workloads.toml`` as model objects; all problems at once."""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from bench.errors import UsageError
from bench.model import Deployment, Load, Variant, Workload

HERE = Path(__file__).parent
ROOT = HERE.parent

T = TypeVar("T")


@dataclass(frozen=True)
class Catalog:
    """Everything that can be run, by name, in the order of the files."""

    deployments: Mapping[str, Deployment]
    workloads: Mapping[str, Workload]
    variants: Mapping[str, Variant]

    def deployment(self, name: str) -> Deployment:
        """Return the deployment of this name, as in ``gevent-uwsgi`` or ``gevent-uwsgi@ares``.

        Several variants go together: ``gevent-uwsgi@urllib3+ares``.

        Raises:
            UsageError: there is none, or no such variant of it; the text names the nearest one
                and lists them all.

        """
        base, at, changes = name.partition("@")
        deployment = _look_up(self.deployments, base, "deployment")
        if not at:
            return deployment
        suitable = {v.name: v for v in self.variants.values() if v.suits_to(deployment)}
        variants = [
            _look_up(suitable, each, f"variant of {base}")
            for each in dict.fromkeys(changes.split("+"))
        ]
        if sum(v.overlay is not None for v in variants) > 1:
            raise UsageError(f"{name}: more than one of these replaces files; give one of them")
        for variant in variants:
            deployment = variant.applied_to(deployment)
        titles = ", ".join(v.title for v in variants)
        copy = (*deployment.copy, *_files_of(deployment.overlay))
        return replace(deployment, name=name, title=f"{deployment.title}: {titles}", copy=copy)

    def workload(self, name: str) -> Workload:
        """Return the workload of this name; errors as in `deployment`."""
        return _look_up(self.workloads, name, "workload")

    def chosen(self, names: Iterable[str], workload: Workload) -> tuple[Deployment, ...]:
        """Return the deployments of these names that suit the workload.

        A group's name stands for all of its deployments; no name, for all that are in no group.

        Raises:
            UsageError: an unknown name, or a deployment that needs what the workload lacks.

        """
        names = tuple(names)
        if not names:
            return self._all_of(None, workload)
        deployments: dict[str, Deployment] = {}
        for name in names:
            members = self._all_of(name, workload) or (self.deployment(name),)
            deployments |= {member.name: member for member in members}
        for deployment in deployments.values():
            if lacking := _lacking(deployment, workload):
                suitable = [w.name for w in self.workloads.values() if not _lacking(deployment, w)]
                raise UsageError(
                    f"{deployment.name} only says something where the workload uses the"
                    f" {' and the '.join(lacking)}, and {workload.name} does not."
                    f" Try WORKLOAD={' or WORKLOAD='.join(suitable)}."
                )
        return tuple(deployments.values())

    def _all_of(self, group: str | None, workload: Workload) -> tuple[Deployment, ...]:
        members = (d for d in self.deployments.values() if d.group == group)
        return tuple(d for d in members if not _lacking(d, workload))


def load_catalog(folder: Path = HERE) -> Catalog:
    """Read the three files from a folder.

    Raises:
        UsageError: the files have problems; the text lists every one of them.

    """
    problems: list[str] = []
    deployments = _read(folder / "deployments.toml", Deployment, problems)
    variants = _read(folder / "variants.toml", Variant, problems)
    workloads = _read(folder / "workloads.toml", Workload, problems, _fold_load)
    for variant in variants.values():
        problems += [
            f"variants.toml: {variant.name}: no deployment is called {name}"
            for name in (*variant.suits, *variant.commands, *variant.workers, *variant.proxy)
            if name not in deployments
        ]
    for workload in workloads.values():
        problems += [
            f"workloads.toml: {workload.name}.load_for.{name}: no deployment has this name"
            for name in workload.load_for
            if name not in deployments
        ]
    if problems:
        raise UsageError("the catalog has problems:\n  " + "\n  ".join(problems))
    return Catalog(deployments, workloads, variants)


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


LOAD_KEYS = frozenset(Load.__dataclass_fields__) - {"lone_requests"}


def _fold_load(table: Mapping[str, Any]) -> dict[str, Any]:
    """Gather a workload table's load keys, which stand in it directly, into its ``load``."""
    rest = {key: value for key, value in table.items() if key not in LOAD_KEYS}
    return rest | {"load": {key: table[key] for key in LOAD_KEYS & table.keys()}}


def _files_of(overlay: str | None) -> tuple[str, ...]:
    if overlay is None:
        return ()
    return tuple(sorted(f"{overlay}/{file.name}" for file in (ROOT / overlay).glob("*.py")))


def _lacking(deployment: Deployment, workload: Workload) -> list[str]:
    return [service for service in deployment.needs if service not in workload.uses]


def _look_up(known: Mapping[str, T], name: str, kind: str) -> T:
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise UsageError(f"no {kind} is called {name!r}.{hint}\nKnown: {', '.join(known)}")
