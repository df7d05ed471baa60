from dataclasses import fields, replace
from typing import Any

import pytest

from bench.analysis.likeness import unlike
from bench.model import Machine
from tests.unit.factories import a_machine

TOLD = {
    *("system", "python", "python_build", "versions", "git_revision", "load_average"),
    *("steal_seconds", "affinity_cores", "quota_cores", "memory_limit_bytes"),
}
"""What two alike machines may differ in."""


def test_a_machine_is_like_itself() -> None:
    assert unlike(a_machine(), a_machine()) == ()


def test_hardware_and_limits_make_unlike_and_nothing_else() -> None:
    assert {each.name for each in fields(Machine) if "alike" not in each.metadata} == TOLD


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"cpu": "a"}, {"cpu": "b"}, "machine, cpu: a → b"),
        ({"cores": 100}, {"cores": 101}, "machine, cores: 100 → 101"),
        ({"usable_cores": 4.0}, {"usable_cores": 1.5}, "machine, usable_cores: 4.0 → 1.5"),
        ({"container": "none"}, {"container": "docker"}, "machine, container: none → docker"),
        ({"turbo": True}, {"turbo": False}, "machine, turbo: True → False"),
        ({"memory_bytes": 100}, {"memory_bytes": 97}, "machine, memory_bytes: 100 → 97"),
        (
            {"sysctls": {"net.ipv4.tcp_tw_reuse": "2"}},
            {"sysctls": {"net.ipv4.tcp_tw_reuse": "0"}},
            "machine, net.ipv4.tcp_tw_reuse: 2 → 0",
        ),
    ],
)
def test_what_differs_is_named(old: dict[str, Any], new: dict[str, Any], said: str) -> None:
    assert unlike(a_machine(**old), a_machine(**new)) == (said,)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"memory_bytes": 100}, {"memory_bytes": 99}),  # as from boot to boot
        ({"sysctls": {"fs.file-max": "1000"}}, {"sysctls": {"fs.file-max": "1010"}}),
        ({"usable_cores": None}, {"usable_cores": 4.0}),  # a run of an older version
        ({"sysctls": {}}, {"sysctls": {"vm.swappiness": "60"}}),
        ({"load_average": None}, {"load_average": (1.0, 1.0, 1.0)}),
        ({"python": "3.11.7"}, {"python": "3.12.0"}),
    ],
)
def test_what_makes_nobody_unlike(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert unlike(a_machine(**old), replace(a_machine(), **new)) == ()
