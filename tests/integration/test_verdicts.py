"""Each limit provoked for real: a deployment is starved of one thing, and the verdict names it."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bench.analysis.bottleneck import Verdict, verdict
from bench.catalog import load_catalog
from bench.load.ab import Ab
from bench.model import Deployment, Load, Workload
from bench.own_app.app import OwnApp
from bench.plan import PlannedTrial
from bench.processes.guardian import Guardian
from bench.processes.ports import free_port
from bench.processes.process import ServerProcess
from bench.processes.ready import wait_until_ready
from bench.runners import RunnerOptions
from bench.runners.local import LocalRunner
from bench.services import http
from bench.services.surroundings import RunningService, Surroundings, base_environment
from bench.trial import Bench, run_trial

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not shutil.which("ab"), reason="ab is not installed"),
]

ROOT = Path(__file__).resolve().parents[2]
CORES = os.cpu_count() or 1
TRIES = 3
Try = Callable[[Deployment, Workload], Verdict]


@pytest.fixture
def attempt(tmp_path: Path) -> Iterator[Try]:
    """Carry out one trial after the other, and return each one's verdict."""
    with Guardian() as guardian:
        options = RunnerOptions(
            root=ROOT,
            folder=tmp_path,
            guardian=guardian,
            app=OwnApp("app:app", ROOT / "flask_app"),
            database_connections=10,
        )
        numbers = iter(range(1, TRIES + 1))

        def carry_out(deployment: Deployment, workload: Workload, ab: str = "ab") -> Verdict:
            bench = Bench(runner, Ab(ab), guardian, workload, tmp_path)
            planned = PlannedTrial(next(numbers), deployment, workload.load)
            trial = run_trial(bench, planned, lambda _phase, _done: None)
            assert trial.failure is None
            found = verdict(trial, workload, CORES)
            assert found is not None
            return found

        with LocalRunner(options) as runner:
            yield carry_out


def undisturbed(once: Callable[[], Verdict]) -> Verdict:
    """Repeat what needs a core of its own until nothing outside spoils it."""
    for _ in range(TRIES):
        if not spoilt(found := once()):
            return found
    pytest.skip(f"the machine is too busy: {found.evidence}")


def spoilt(found: Verdict) -> bool:
    """Say whether other tests on the machine took the core that the trial was to fill."""
    noisy = any("outside of the trial" in warning for warning in found.warnings)
    return found.limit in {"noise", "machine CPU"} or (found.limit == "not known" and noisy)


def a_deployment(name: str) -> Deployment:
    return load_catalog().deployment(name)


def a_workload(name: str, load: Load, **changes: object) -> Workload:
    return replace(load_catalog().workload(name), load=load, **changes)  # type: ignore[arg-type]


def test_a_tiny_backlog_is_the_accept_queue(attempt: Try) -> None:
    server = replace(a_deployment("sync-uwsgi"), workers=1, threads=1, backlog=2)
    load = a_workload("cpu", Load(30, duration=4.0), path="/cpu?ms=4")
    found = attempt(server, load)
    assert found.limit == "accept queue"
    assert "handshakes at a full queue" in found.evidence
    assert "BACKLOG was 2" in found.remedy


def test_one_worker_with_one_thread_is_out_of_slots(attempt: Try) -> None:
    server = replace(a_deployment("sync-uwsgi"), workers=1, threads=1)
    found = attempt(server, a_workload("api", Load(4, requests=12), delay=0.3))
    assert found.limit == "slots"
    assert found.by_arithmetic
    assert "THREADS" in found.remedy


def test_an_unpatched_driver_blocks(attempt: Try) -> None:
    server = a_deployment("gevent-uwsgi-blocking")
    load = a_workload("db", Load(5, requests=10), delay=0.4, database_connections=10)
    found = attempt(server, load)
    assert found.limit == "blocking"
    assert "psycogreen" in found.remedy


HOGGING_API = """
import asyncio, sys, time
from aiohttp import web

async def answer(request):
    await asyncio.sleep(float(request.query.get("delay", 0)))
    end = time.thread_time() + 0.01
    while time.thread_time() < end:
        pass
    return web.Response(body=b"slept\\n")

async def main():
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1])).start()
    await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def hogging_api(surroundings: Surroundings) -> Iterator[RunningService]:
    """Run an API with one process, that computes instead of sleeping."""
    port = free_port("127.0.0.1")
    process = ServerProcess(
        "the hogging API",
        [sys.executable, "-c", HOGGING_API, str(port)],
        environment=base_environment(),
        cwd=surroundings.root,
        log=surroundings.folder / "api.log",
        guardian=surroundings.guardian,
        grace=1.0,
    )
    with process:
        ready = http.probe("127.0.0.1", port, "/healthz")
        wait_until_ready(ready, [process], deadline=15.0, what="the hogging API")
        yield RunningService(
            name="api",
            pid=process.pid,
            address=f"127.0.0.1:{port}",
            check=process.check_running,
            environment={"API_URL": f"http://127.0.0.1:{port}"},
        )


def test_an_api_that_computes_is_the_upstream(
    attempt: Try, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.runners.local.slow_api", hogging_api)
    load = a_workload("busy", Load(8, duration=2.0))
    found = undisturbed(partial(attempt, a_deployment("gevent-uwsgi"), load))
    assert found.limit == "upstream"
    assert "not the server" in found.remedy


AB_IN_TROUBLE = """#!/bin/sh
case "$*" in *-n*)
    for each in 1 2 3; do
        taskset -c 0 PYTHON -ISc '
import os, sys
while os.getppid() == int(sys.argv[1]):
    sum(range(10**6))
' $$ > /dev/null 2>&1 &
    done
esac
exec taskset -c 0 ab "$@"
"""
"""ab among loops on the same core, which end when ab does: they are its children then no more."""


@pytest.mark.skipif(not shutil.which("taskset"), reason="taskset is not installed")
def test_a_load_generator_that_has_to_share_its_core_is_told_of(
    attempt: Callable[[Deployment, Workload, str], Verdict], tmp_path: Path
) -> None:
    ab = tmp_path / "ab"
    ab.write_text(AB_IN_TROUBLE.replace("PYTHON", sys.executable))
    ab.chmod(0o755)
    load = a_workload("hello", Load(20, duration=3.0))
    found = attempt(a_deployment("gevent-uwsgi"), load, str(ab))
    told = [found.limit, *(warning.partition(":")[0] for warning in found.warnings)]
    assert {"client", "noise"} & set(told), found


def test_the_dev_server_waits_on_itself(attempt: Try) -> None:
    load = a_workload("busy", Load(5, duration=2.0))
    found = undisturbed(partial(attempt, a_deployment("devserver"), load))
    assert found.limit == "own pauses"
    assert "Werkzeug" in found.evidence
