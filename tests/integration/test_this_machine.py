"""The fingerprint and the preflight of the machine that the tests run on."""

import os
import shutil
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import psutil
import pytest

from bench.catalog import load_catalog
from bench.machine import fingerprint
from bench.machine.moment import read_moment
from bench.plan import LoadOverride, load_of, plan_trials
from bench.preflight import preflight

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
SLOWEST = 0.5
"""Seconds; 0.03 on a quiet machine, and tests run beside others."""


def test_the_fingerprint_is_plausible() -> None:
    machine = fingerprint(ROOT, {"ab": "ab 2.3"})
    assert machine.cores == os.cpu_count()
    assert machine.memory_bytes == psutil.virtual_memory().total
    assert machine.usable_cores is not None
    assert 0 < machine.usable_cores <= machine.cores
    assert machine.usable_memory_bytes is not None
    assert 0 < machine.usable_memory_bytes <= machine.memory_bytes
    assert machine.open_files_hard is not None
    assert machine.open_files <= machine.open_files_hard
    assert machine.versions["gevent"] == metadata.version("gevent")
    assert machine.python_build
    if machine.physical_cores is not None:
        assert machine.physical_cores <= machine.cores


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's files")
def test_linux_tells_its_limits() -> None:
    machine = fingerprint(ROOT, {})
    assert machine.somaxconn
    assert {"net.ipv4.ip_local_port_range", "net.ipv4.tcp_tw_reuse"} <= machine.sysctls.keys()
    assert machine.container
    assert machine.hypervisor
    assert machine.steal_seconds is not None


@pytest.mark.skipif(not shutil.which("dpkg-query"), reason="no Debian")
def test_the_package_is_the_one_that_dpkg_names() -> None:
    shown = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${Version}", "apache2-utils"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    machine = fingerprint(ROOT, {"ab": "ab 2.3"})
    assert machine.versions.get("ab package", "") == shown.stdout


def test_the_fingerprint_is_fast() -> None:
    fingerprint(ROOT, {"ab": "ab 2.3"})
    began = time.perf_counter()
    fingerprint(ROOT, {"ab": "ab 2.3"})
    assert time.perf_counter() - began < SLOWEST


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's files")
def test_another_load_is_seen() -> None:
    program = [sys.executable, "-c", "while True: pass"]
    with subprocess.Popen(program) as burning:
        try:
            busy = [read_moment().busy_cores or 0.0 for _ in range(3)]
        finally:
            burning.kill()
    assert max(busy) >= 0.5


def test_the_default_run_is_warned_of() -> None:
    catalog = load_catalog()
    workload = catalog.workload("api")
    plan = plan_trials(
        catalog.chosen((), workload),
        lambda deployment: load_of(deployment, workload, LoadOverride(), named=False),
        rounds=1,
        seed=1,
    )
    found = preflight(fingerprint(ROOT, {}), plan, workload)
    assert any("WORKLOAD=busy" in text for text in found)
    assert any("1 round" in text for text in found)
