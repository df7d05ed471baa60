"""Which deployments can be taken home, and what of them is copied."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from bench.catalog import Catalog
from bench.errors import UsageError
from bench.model import Deployment

NGINX = "nginx/"
"""In the checkout as in what is written: nginx's files lie in a folder of their own."""
NOT_LOCKED = ("fast-parser",)
"""Variants that want packages which no lock has."""


def ejectable(catalog: Catalog) -> tuple[Deployment, ...]:
    """Return the deployments that are made for production."""
    return tuple(d for d in catalog.deployments.values() if d.copy and d.group is None)


def deployment_to_eject(catalog: Catalog, name: str) -> Deployment:
    """Return the deployment of this name, as in ``gevent-uwsgi`` or ``gevent-uwsgi@reuse-port``.

    Raises:
        UsageError: there is none, or it is for comparison only; the text lists those that are not.

    """
    deployment = catalog.deployment(name)
    allowed = ejectable(catalog)
    base = catalog.deployments[deployment.base_name]
    if base not in allowed:
        raise UsageError(
            f"{base.name} ({base.title}) is there to be compared with, not for production."
            f" These can be ejected: {', '.join(d.name for d in allowed)}"
        )
    if deployment is not base and not _can_be_copied(base, deployment):
        suitable = [
            variant.name
            for variant in catalog.variants.values()
            if variant.suits_to(base)
            and _can_be_copied(base, catalog.deployment(f"{base.name}@{variant.name}"))
        ]
        raise UsageError(
            f"{name} changes the demo app, or how it is run here: there is nothing of it to take"
            f" home. Eject {base.name}, or a variant of these: {', '.join(suitable)}"
        )
    return deployment


def copied_files(deployment: Deployment) -> Mapping[str, str]:
    """Return where each copied file goes → where it is in the checkout.

    A variant's module takes the place of the one that it replaces, which is named before it.
    """
    found = {}
    for source in deployment.copy:
        name = PurePosixPath(source).name
        found[f"{NGINX}{name}" if source.startswith(NGINX) else name] = source
    return found


def _can_be_copied(base: Deployment, changed: Deployment) -> bool:
    """Say whether a variant is its command's arguments, its settings, or modules of these names."""
    names = {PurePosixPath(source).name for source in base.copy}
    return (
        not set(changed.variant.split("+")).intersection(NOT_LOCKED)
        and changed.copy[: len(base.copy)] == base.copy
        and {PurePosixPath(source).name for source in changed.copy} == names
        and changed.proxy == base.proxy
        and not changed.unix_socket
    )
