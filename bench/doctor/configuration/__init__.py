"""The files that configure an app's servers, and what in them will not work or not hold."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench.doctor.configuration import find
from bench.doctor.configuration.formats import gunicorn
from bench.doctor.configuration.model import Facts, Limits
from bench.doctor.configuration.read import facts
from bench.doctor.configuration.rules import RULES
from bench.doctor.findings import Check, Finding
from bench.machine import somaxconn
from bench.machine.kernel import open_files
from bench.model import Deployment
from bench.own_app.app import OwnApp
from bench.processes.guardian import Guardian

CHECKS: tuple[Check, ...] = tuple(rule.check for rule in RULES)
"""All that is looked for."""


def check_configuration(
    deployments: Sequence[Deployment],
    files: Sequence[Path],
    app: OwnApp,
    *,
    guardian: Guardian,
) -> tuple[Finding, ...]:
    """Return what is wrong with the configuration of an app's servers, in the order of `CHECKS`.

    Args:
        deployments: of the catalog, that are meant to run on this machine.
        files: to look at; none: those in the app's folder, and in its usual sub-folders.
        app: in whose interpreter gunicorn's configuration is evaluated, which is Python.
        guardian: ends that if this program is killed.

    Raises:
        UsageError: a file cannot be read, or is nothing that is known; the text says which.

    """
    chosen = find.named(files, app.folder) if files else find.found(app.folder)
    limits = Limits(somaxconn(), open_files()[0])
    evaluate = partial(gunicorn.evaluate, app=app, guardian=guardian)
    return examine(facts(chosen, app.folder, evaluate, limits=limits, deployments=deployments))


def examine(known: Facts) -> tuple[Finding, ...]:
    """Return what all rules find in these facts."""
    return tuple(finding for rule in RULES for finding in rule.findings(known))
