"""The part of the project's locks that a deployment needs."""

import re

import pytest

from bench.catalog import ROOT
from bench.eject.choice import deployment_to_eject
from bench.eject.server_lock import build_lock, part_of, server_lock, versions
from tests.unit.eject.ejections import CATALOG, NAMES

GREEN = {"gevent", "greenlet", "psycogreen", "zope-event", "zope-interface"}
LOCK = """\
# made by a tool
one==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:ab
    # via -r some.in
two==2.0 ; sys_platform == 'linux' \\
    --hash=sha256:ba
    # via
    #   -c base.txt
    #   one
three==3.0 ; sys_platform == 'win32' \\
    --hash=sha256:ca
    # via one
four==4.0 \\
    --hash=sha256:da
    # via two
five==5.0 \\
    --hash=sha256:ea
    # via six
"""


def test_what_is_asked_for_comes_along_by_however_many_steps() -> None:
    found = part_of(LOCK, ["one"])
    assert versions(found) == {"one": "1.0", "two": "2.0", "four": "4.0"}
    assert [set(entry.wanted_by) for entry in found] == [set(), {"one"}, {"two"}]
    assert found[0].text == "one==1.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:ab"
    assert found[1].text == "two==2.0 ; sys_platform == 'linux' \\\n    --hash=sha256:ba"


@pytest.mark.parametrize(
    ("name", "packages"),
    [
        ("gevent-pywsgi", GREEN),
        ("sync-gunicorn", {"gunicorn", "packaging"}),
        ("gevent-gunicorn", {"gunicorn", "packaging", *GREEN}),
        ("sync-uwsgi", {"uwsgi"}),
        ("gevent-uwsgi", {"uwsgi", *GREEN}),
    ],
)
def test_a_deployment_gets_its_server_and_nothing_of_the_demo_app(
    name: str, packages: set[str]
) -> None:
    assert versions(server_lock(CATALOG.deployment(name), ROOT)).keys() == packages


@pytest.mark.parametrize("name", NAMES)
def test_every_package_is_pinned_by_hash_as_it_is_measured(name: str) -> None:
    measured = "".join(
        (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8") for lock in ("base", "uwsgi")
    )
    for entry in server_lock(deployment_to_eject(CATALOG, name), ROOT):
        first, *hashes = entry.text.replace(" \\\n", "\n").split("\n")
        assert re.search(rf"^{re.escape(first.split(' ;')[0])}\b", measured, re.MULTILINE)
        assert hashes
        assert all(each.strip().startswith("--hash=sha256:") for each in hashes)


def test_the_tools_that_build_it_are_locked_too() -> None:
    assert versions(build_lock(ROOT)).keys() == {"setuptools"}
