"""Examine an app: import it, read it, look, and leave out what the user has answered for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.doctor.checks import RULES
from bench.doctor.checks.settings import random_keys
from bench.doctor.diagnosis import Diagnosis
from bench.doctor.facts import Facts, Imported, uses_gevent
from bench.doctor.findings import Check, Finding
from bench.doctor.importing import AppImportError, import_app
from bench.doctor.silence import comments_of, silenced
from bench.doctor.sources import Sources, read_sources
from bench.errors import UsageError
from bench.model import Deployment
from bench.own_app.app import OwnApp
from bench.own_app.scripts import IMPORT_WITHIN
from bench.processes.guardian import Guardian

SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Request:
    """What is to be examined, and how."""

    app: OwnApp
    deployments: Sequence[Deployment]
    """At least one."""
    files: Sequence[Path] = ()
    """Configuration files of servers; none given: those that are found in the app's folder."""
    url_path: str | None = None
    """What to request, to find what blocks while it is served; ``None``: nothing is requested."""
    ignore: Mapping[str, str] = field(default_factory=dict)
    """Check → reason."""
    seconds: float = IMPORT_WITHIN
    """That each import of the app may take."""


def all_checks() -> tuple[Check, ...]:
    """Return every check that there is, in the order in which they are shown."""
    from bench.doctor import blocking, configuration  # noqa: PLC0415 - only the doctor needs them

    return (*(rule.check for rule in RULES), *configuration.CHECKS, *blocking.CHECKS)


def examine(request: Request, guardian: Guardian) -> Diagnosis:
    """Examine an app.

    Raises:
        UsageError: a deployment serves another app, or a comment that silences lacks its reason.
        AppImportError: it cannot be imported.

    """
    _require_suitable(request.deployments)
    facts, unseen = _facts(request, guardian)
    found = [*look(facts), *_elsewhere(request, guardian)]
    known = [check.id for check in all_checks()]
    files = {str(source.file) for source in facts.sources}
    files |= {each.file for finding in found for each in finding.evidence if each.file}
    comments = [each for file in sorted(files) for each in comments_of(Path(file), known)]
    order = {severity: place for place, severity in enumerate(SEVERITIES)}
    shown = sorted(
        silenced(found, request.ignore, comments),
        key=lambda each: (order[each.check.severity], known.index(each.check.id)),
    )
    return Diagnosis(
        app=request.app.spec,
        folder=request.app.folder,
        python=request.app.python,
        python_version=facts.imported.python,
        deployments=tuple(each.name for each in request.deployments),
        files=len(facts.sources),
        app_file=facts.imported.file,
        findings=tuple(shown),
        unseen=unseen,
    )


def look(facts: Facts) -> Iterator[Finding]:
    """Yield what the checks of the app itself find; gevent's only where gevent serves."""
    for rule in RULES:
        if facts.cooperative or not rule.gevent_only:
            yield from rule.look(facts)


def _facts(request: Request, guardian: Guardian) -> tuple[Facts, tuple[str, ...]]:
    app, seconds = request.app, request.seconds
    cooperative = any(map(uses_gevent, request.deployments))
    imported = import_app(app, gevent=cooperative, guardian=guardian, seconds=seconds)
    facts = Facts(app, request.deployments, imported, read_sources(imported.own))
    unseen = [f"{what}: {why}" for what, why in imported.unseen.items()]
    if cooperative and _patches_by_itself(facts.sources):
        # Our patch comes first and hides what the app's own one leaves out.
        try:
            by_itself = import_app(
                app, gevent=False, guardian=guardian, seconds=seconds, records_patches=True
            )
            facts = replace(facts, by_itself=by_itself)
        except AppImportError as error:
            end = ": ".join(str(error).splitlines()[-2:])
            unseen.append(f"the app's own patch: without ours it cannot be imported: {end}")
    if any(True for _ in random_keys(facts.sources)):
        another = import_app(app, gevent=cooperative, guardian=guardian, seconds=seconds)
        facts = replace(facts, key_of_another=_key(another))
    return facts, tuple(unseen)


def _patches_by_itself(sources: Sources) -> bool:
    return any(
        call.name.startswith("gevent.monkey.patch_") and not call.guarded
        for source in sources
        for call in source.reader.calls
    )


def _key(imported: Imported) -> str | None:
    secret = imported.flask_app and imported.flask_app.secret
    return secret.hash if secret else None


def _elsewhere(request: Request, guardian: Guardian) -> Iterator[Finding]:
    """Yield what is found in the servers' files, and, if asked for, while the app is served."""
    from bench.doctor.blocking import probe_url  # noqa: PLC0415
    from bench.doctor.configuration import check_configuration  # noqa: PLC0415

    yield from check_configuration(
        request.deployments, request.files, request.app, guardian=guardian
    )
    if request.url_path is not None:
        yield from probe_url(request.app, request.url_path, guardian=guardian)


def _require_suitable(deployments: Sequence[Deployment]) -> None:
    for each in deployments:
        if each.group is not None or each.blocks_in or each.overlay is not None:
            raise UsageError(
                f"{each.name} serves an app of its own: name a deployment that can serve yours,"
                " as `flask-bench list` shows them"
            )
