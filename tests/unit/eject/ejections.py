"""Ejections, and what an app's interpreter says, for tests that need no app."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.catalog import ROOT, load_catalog
from bench.eject.choice import deployment_to_eject, ejectable
from bench.eject.ejection import Ejection
from bench.eject.look import Distribution, Seen
from bench.eject.places import Places
from bench.eject.requirements import AppRequirements
from bench.eject.server_lock import build_lock, server_lock

CATALOG = load_catalog()
NAMES = tuple(d.name for d in ejectable(CATALOG))
HOME = Path("/home/her/shop")


def ejection(name: str = "gevent-uwsgi", **changes: Any) -> Ejection:
    deployment = deployment_to_eject(CATALOG, name)
    made = Ejection(
        deployment,
        spec="shop.wsgi:create_app()",
        name="shop",
        image="python:3.12-slim-bookworm",
        port=8000,
        health_path="/healthz",
        ready_path="/readyz",
        places=Places(HOME / "deploy", HOME, ".", (), HOME),
        requirements=AppRequirements("requirements.txt", file="requirements.txt"),
        locked=server_lock(deployment, ROOT),
        build_tools=build_lock(ROOT),
        call=f"flask-bench eject {name} --app 'shop.wsgi:create_app()'",
    )
    return replace(made, **changes)


def distribution(name: str, version: str = "1.0", *requires: str, **more: Any) -> Distribution:
    return Distribution(name, version, requires, (name,), **more)


def seen(*distributions: Distribution, **changes: Any) -> Seen:
    found = Seen(
        python="3.12.4",
        file=HOME / "shop" / "wsgi.py",
        modules=(),
        distributions={each.name: each for each in distributions},
        owner=None,
        statuses={},
    )
    return replace(found, **changes)
