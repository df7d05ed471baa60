"""Whether two runs can be compared at all, and whether several can be taken as one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace

from bench.analysis.likeness import unlike
from bench.analysis.summary import Row
from bench.errors import UsageError
from bench.model import Run

OF_THE_RUN = ("schema", "app", "runner", "generator")
VERSIONS = ("git_revision", "system", "python", "python_build")
"""Fields of the machine that a comparison may be about."""
SETTINGS = (
    "command", "workers", "threads", "async_cores", "backlog", "proxy", "environment", "overlay",
    "unix_socket",
)  # fmt: skip


def runs_unlike(base: Run, new: Run) -> Iterator[str]:
    """Yield what differs in machine, workload and instrument: ``field: base → new``."""
    for name in OF_THE_RUN:
        yield from _differs(name, getattr(base, name), getattr(new, name))
    yield from unlike(base.machine, new.machine)
    for field in fields(base.workload):
        if field.name not in {"load", "load_for", "purpose"}:
            yield from _differs(
                f"workload, {field.name}",
                getattr(base.workload, field.name),
                getattr(new.workload, field.name),
            )


def deployments_unlike(base: Row, new: Row) -> Iterator[str]:
    """Yield what differs in the load and the settings of one deployment."""
    name = new.deployment.name
    yield from _differs(f"load of {name}", base.load, new.load)
    for setting in SETTINGS:
        yield from _differs(
            f"{setting} of {name}",
            getattr(base.deployment, setting),
            getattr(new.deployment, setting),
        )


def versions_changed(base: Run, new: Run) -> Iterator[str]:
    """Yield the versions and the revision that changed."""
    for name in VERSIONS:
        old, current = getattr(base.machine, name), getattr(new.machine, name)
        if old is not None and current is not None:
            yield from _differs(name.replace("_", " "), old, current)
    yield from _mappings(base.machine.versions, new.machine.versions)


def identity(run: Run) -> tuple[str, str]:
    """Return what tells a run from every other one; its folder may have been copied."""
    return run.id, run.started


def pool(runs: Sequence[Run]) -> Run:
    """Return several runs of the same thing as one, their rounds numbered on.

    The machine drifts from run to run, which the rounds of one run do not show: runs at different
    times, pooled, tell more than as many rounds of one (Kalibera & Jones 2013, section 5: repeat
    at the highest level that varies).

    Raises:
        UsageError: none was given, one is given twice, or they differ in anything, versions and
            revision included.

    """
    if not runs:
        raise UsageError("there is no run to pool")
    first = runs[0]
    if len(set(map(identity, runs))) < len(runs):
        raise UsageError("a run counts once: the same one was given twice")
    for run in runs[1:]:
        if unlike := [*runs_unlike(first, run), *versions_changed(first, run), *_loads(first, run)]:
            raise UsageError(
                f"{first.id} and {run.id} are not runs of the same thing:\n  " + "\n  ".join(unlike)
            )
    if len(runs) == 1:
        return first
    return _joined(runs)


def _joined(runs: Sequence[Run]) -> Run:
    first = runs[0]
    before, trials, planned = 0, [], []
    for run in runs:
        trials += [replace(trial, round=before + trial.round) for trial in run.trials]
        planned += [(before + number, name) for number, name in run.planned]
        before += run.rounds
    finished = all(run.status == "complete" for run in runs)
    return replace(
        first,
        id=" + ".join(run.id for run in runs),
        status="complete" if finished else "interrupted",
        rounds=before,
        trials=tuple(trials),
        planned=tuple(planned),
        notes=tuple(dict.fromkeys(note for run in runs for note in run.notes)),
    )


def _loads(base: Run, new: Run) -> Iterator[str]:
    """Yield what differs in the loads and settings of the trials themselves."""
    known = {trial.deployment.name: trial for trial in base.trials}
    seen = set()
    for trial in new.trials:
        name = trial.deployment.name
        if name in known and name not in seen:
            seen.add(name)
            yield from _differs(f"load of {name}", known[name].load, trial.load)
            yield from _differs(f"settings of {name}", known[name].deployment, trial.deployment)


def _mappings(base: Mapping[str, str], new: Mapping[str, str]) -> Iterable[str]:
    for key in sorted(base.keys() | new.keys()):
        yield from _differs(key, base.get(key), new.get(key))


def _differs(what: str, base: object, new: object) -> Iterator[str]:
    if base != new:
        yield f"{what}: {base} → {new}"
