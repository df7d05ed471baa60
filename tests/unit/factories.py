"""Builders of records: a plain, valid one each, with what a test is about changed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bench.model import (
    Deployment,
    Latency,
    Load,
    Machine,
    Measurement,
    RoleUsage,
    Run,
    Trial,
    Verification,
    Workload,
)
from bench.store import SCHEMA

FAILURES = ("connect", "receive", "length", "exceptions", "other", "non_2xx", "write", "missing")


def a_deployment(name: str = "gevent-uwsgi", **changes: Any) -> Deployment:
    """Return 4 workers of 2000 async cores each."""
    deployment = Deployment(
        name=name,
        title=f"the {name}",
        server="uwsgi",
        command=("uwsgi", "--ini", "{flask_app}/uwsgi_gevent.ini"),
        copy=("flask_app/uwsgi_gevent.ini",),
        workers=4,
        async_cores=2000,
        backlog=4096,
    )
    return replace(deployment, **changes)


def a_workload(name: str = "api", **changes: Any) -> Workload:
    """Return one that waits a second for the API."""
    workload = Workload(
        name=name,
        purpose="one call to the sleepy API",
        path="/?delay={delay}",
        load=Load(200, requests=2000),
        delay=1.0,
        body="answered by the API\n",
        uses=("api",),
    )
    return replace(workload, **changes)


def a_database_workload(**changes: Any) -> Workload:
    """Return one that spends half of its second in the database, over 80 connections."""
    return a_workload(
        "db",
        **{
            "path": "/db?delay={delay}",
            "uses": ("api", "database"),
            "database_share": 0.5,
            "database_connections": 80,
        }
        | changes,
    )


def a_measurement(rate: float = 180.0, **changes: Any) -> Measurement:
    """Return 2000 right answers at this rate."""
    measurement = Measurement(
        generator="ab 2.3",
        command=("ab", "-n", "2000"),
        requests=2000,
        failures=dict.fromkeys(FAILURES, 0),
        seconds=2000 / rate,
        requests_per_second=rate,
        latency=Latency(p50=1.005, p90=1.05, p99=1.1, max=1.2),
        bytes_received=200_000,
        body_bytes=20,
        client_cpu_seconds=0.5,
    )
    return replace(measurement, **changes)


def a_usage(**changes: Any) -> RoleUsage:
    """Return 2 s of CPU time, 100 MiB and 5 → 9 threads."""
    usage = RoleUsage(
        cpu_seconds=2.0,
        memory_bytes=100 * 1024**2,
        processes_before=5,
        processes_during=5,
        threads_before=5,
        threads_during=9,
    )
    return replace(usage, **changes)


def a_trial(deployment: Deployment | str = "gevent-uwsgi", **changes: Any) -> Trial:
    """Return a valid one."""
    trial = Trial(
        deployment=a_deployment(deployment) if isinstance(deployment, str) else deployment,
        round=1,
        started="2026-11-20T12:00:01+00:00",
        folder="01-gevent-uwsgi",
        load=Load(200, requests=2000),
        database_connections=None,
        seconds={"start": 0.5, "verify": 0.6, "warm-up": 0.2, "load": 11.0, "stop": 0.3},
        commands={"server": ("uwsgi", "--ini", "uwsgi_gevent.ini")},
        environment={"BIND": "127.0.0.1:20001"},
        verification=Verification(
            requests=200, delay=0.5, body_bytes=20, fastest=0.501, served_at_once=180
        ),
        measurement=a_measurement(),
        usage={"server": a_usage()},
    )
    return replace(trial, **changes)


def a_failed_trial(
    deployment: Deployment | str = "sync-uwsgi", failure: str = "it never came up", **changes: Any
) -> Trial:
    """Return one without any figure."""
    nothing: Mapping[str, Any] = {
        "verification": None,
        "measurement": None,
        "usage": {},
        "failure": failure,
    }
    return a_trial(deployment, **{**nothing, **changes})


def a_machine(**changes: Any) -> Machine:
    """Return one that no test runs on."""
    machine = Machine(
        cpu="Imaginary 9000",
        cores=2,
        memory_bytes=8 * 1024**3,
        system="Debian",
        kernel="6.1.0",
        python="3.11.7",
        somaxconn=4096,
        open_files=1024,
        versions={"flask": "3.1.3", "uwsgi": "2.0.31"},
        git_revision="0123456789ab",
    )
    return replace(machine, **changes)


def a_run(*trials: Trial, **changes: Any) -> Run:
    """Return a complete run of these trials."""
    run = Run(
        schema=SCHEMA,
        id="20261120T120000Z-api",
        status="complete",
        started="2026-11-20T12:00:00+00:00",
        finished="2026-11-20T12:00:20+00:00",
        command=("flask-bench", "run"),
        runner="local",
        generator="ab 2.3",
        app="app:app",
        workload=a_workload(),
        seed=7,
        rounds=1,
        planned=tuple((trial.round, trial.deployment.name) for trial in trials),
        machine=a_machine(),
        trials=trials,
    )
    return replace(run, **changes)
