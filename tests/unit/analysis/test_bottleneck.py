"""Each rule against a recorded trial that shows it, and against the figures just beside it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from bench.analysis.bottleneck import RULES, Verdict, verdict
from bench.model import Load, RoleUsage, Surroundings, Trial, Workload
from tests.unit.factories import (
    a_deployment,
    a_failed_trial,
    a_measurement,
    a_trial,
    a_usage,
    a_workload,
)

RECORDED = Path(__file__).resolve().parents[2] / "data" / "trials"

LIMITS = {
    "accept_queue": "accept queue",
    "blocking": "blocking",
    "ceiling": "ceiling",
    "database": "database",
    "machine_cpu": "machine CPU",
    "noise": "noise",
    "own_pauses": "own pauses",
    "pool": "pool",
    "server_cpu": "server CPU",
    "slots": "slots",
    "tiny_backlog": "accept queue",
    "uneven_workers": "uneven workers",
    "upstream": "upstream",
}
"""Recorded trial → what limited it."""


def recorded(name: str) -> tuple[Trial, Workload, int]:
    data = json.loads((RECORDED / f"{name}.json").read_text())
    trial = TypeAdapter(Trial).validate_python(data["trial"])
    return trial, TypeAdapter(Workload).validate_python(data["workload"]), data["cores"]


def of(trial: Trial, workload: Workload | None = None, cores: int = 4) -> Verdict:
    found = verdict(trial, workload or a_workload(delay=None), cores)
    assert found is not None
    return found


def around(counters: Mapping[str, float] = {}, **canaries: float) -> Surroundings:
    idle = {"cpu_idle_seconds": 37.5, "ListenOverflows": 0.0}
    return Surroundings({**idle, **counters}, **canaries)


def plain(**changes: Any) -> Trial:
    """Return a trial of ten seconds in which nothing was used up."""
    measurement = a_measurement(rate=200.0, client_cpu_seconds=0.5)
    return a_trial(**{"measurement": measurement, "surroundings": around(), **changes})


def test_every_recording_has_its_test() -> None:
    assert {file.stem for file in RECORDED.glob("*.json")} == LIMITS.keys()


@pytest.mark.parametrize(("name", "limit"), LIMITS.items())
def test_a_recorded_trial(name: str, limit: str) -> None:
    found = of(*recorded(name))
    assert found.limit == limit
    assert found.evidence
    assert found.remedy
    assert found.by_arithmetic == (limit in {"ceiling", "slots", "pool"})


@pytest.mark.parametrize(
    ("name", "evidence"),
    [
        ("accept_queue", "490 of 5,534 requests needed a second or more to connect (469 after 1 s"),
        ("accept_queue", "the kernel refused 1,004 handshakes at a full queue"),
        ("blocking", "1 were seen"),
        ("machine_cpu", "server 2.72, api 0.67, client 0.42"),
        ("noise", "programs outside of the trial used 3.69 of them"),
        ("own_pauses", "Werkzeug waits up to 10 ms"),
        ("uneven_workers", "the workers held 65, 55, 45, 44 connections on average, with 50"),
        ("tiny_backlog", "; at most 3 were seen in the queue of 2 (role: server)"),
        ("upstream", "of 1 core(s)"),
    ],
)
def test_the_evidence_has_the_figures(name: str, evidence: str) -> None:
    assert evidence in of(*recorded(name)).evidence


def usage(**cpu_seconds: float) -> dict[str, RoleUsage]:
    roles = {"server": 2.0, **cpu_seconds}
    return {role: a_usage(cpu_seconds=seconds) for role, seconds in roles.items()}


MADE_UP: dict[str, tuple[dict[str, Any], str, str]] = {
    "client": (
        {"measurement": a_measurement(rate=200.0, client_cpu_seconds=8.1)},
        "client",
        "measures the load generator",
    ),
    "proxy": ({"usage": usage(nginx=35.0)}, "proxy CPU", "worker_processes"),
    "api": (
        {
            "usage": usage(api=17.5),
            "surroundings": around(
                {"api.1.cpu_seconds": 0.1, "api.2.cpu_seconds": 9, "api.3.cpu_seconds": 8.4}
            ),
        },
        "upstream",
        "API_WORKERS",
    ),
    "killed": ({"surroundings": around({"oom_kills": 1})}, "memory", "WORKERS"),
    "memory": ({"surroundings": around({"pressure_memory_seconds": 1.1})}, "memory", "limit"),
    "quota": ({"surroundings": around({"throttled_seconds": 0.6})}, "CPU quota", "CPU limit"),
    "api queue": (
        {"surroundings": around({"ListenOverflows": 40, "api.accept_queue": 9, "api.backlog": 8})},
        "upstream",
        "of this role: api",
    ),
}
"""Limits that are hard to record: a trial of ten seconds, with figures just over the threshold."""


@pytest.mark.parametrize(("changes", "limit", "remedy"), MADE_UP.values(), ids=MADE_UP)
def test_a_made_up_trial(changes: Mapping[str, Any], limit: str, remedy: str) -> None:
    found = of(plain(**changes))
    assert found.limit == limit
    assert remedy in found.remedy


@pytest.mark.parametrize(
    "changes",
    [
        {"measurement": a_measurement(rate=200.0, client_cpu_seconds=7.9)},
        {"usage": usage(nginx=33.0)},
        {"usage": usage(server=33.0)},
        {"surroundings": around({"pressure_memory_seconds": 0.9, "throttled_seconds": 0.4})},
        {"surroundings": around({"ListenOverflows": 40, "api.accept_queue": 7, "api.backlog": 8})},
        {"surroundings": around({"ListenOverflows": 19, "api.accept_queue": 9, "api.backlog": 8})},
    ],
)
def test_below_the_thresholds_nothing_is_known(changes: Mapping[str, Any]) -> None:
    assert of(plain(**changes)).limit == "not known"


class TestAnAppOfOnesOwn:
    OWN = a_workload(name="own", delay=None, body=None)

    def verdict(self, **changes: Any) -> Verdict:
        found = verdict(plain(**changes), self.OWN, 4)
        assert found is not None
        return found

    def test_it_waits(self) -> None:
        found = self.verdict()
        assert found.limit == "waiting"
        assert "200 requests at once, 200.0 per second: each took 1 s, for 1.2 ms" in found.evidence

    def test_it_waits_and_too_few_at_once(self) -> None:
        threads = a_deployment("sync-uwsgi", workers=1, threads=50, async_cores=None)
        found = self.verdict(deployment=threads)
        assert found.limit == "slots"
        assert "THREADS" in found.remedy

    def test_it_computes(self) -> None:
        busy = {"measurement": a_measurement(rate=200.0), "usage": usage(server=1500.0)}
        assert self.verdict(**busy).limit != "waiting"

    def test_of_the_demo_it_is_known_what_it_waits_for(self) -> None:
        assert of(plain()).limit == "not known"


def test_the_last_rule_says_what_it_was_not() -> None:
    found = of(plain())
    assert found.limit == "not known"
    assert "server 0.20, client 0.05" in found.evidence
    assert "6% of 4 cores busy" in found.evidence
    assert "0 handshakes refused" in found.evidence


def test_without_any_observation_there_is_still_a_verdict() -> None:
    bare = plain(surroundings=None, usage={}, verification=None)
    assert of(replace(bare, measurement=a_measurement(client_cpu_seconds=None))).limit == (
        "not known"
    )


def test_an_invalid_trial_has_no_verdict() -> None:
    assert verdict(a_failed_trial(), a_workload(), 4) is None


def test_bursts_that_nobody_waits_in() -> None:
    # 200 × 2 ms on one process: 0.4 s in which nobody waits, so 200 requests per 1.4 s.
    deployment = a_deployment(workers=None, async_cores=2000)
    measurement = a_measurement(rate=143.0)
    server = a_usage(cpu_seconds=2000 * 0.002)
    trial = plain(deployment=deployment, measurement=measurement, usage={"server": server})
    found = of(trial, a_workload())
    assert found.limit == "server CPU"
    assert "for 0.40 s, so a wave takes 1.40 s instead of 1 s" in found.evidence


def test_late_connections_without_refusals_have_another_cause() -> None:
    late = a_measurement(details={"slow_connects": 100})
    assert of(plain(measurement=late)).limit == "not known"
    refused = around({"ListenOverflows": 100})
    assert of(plain(measurement=late, surroundings=refused)).limit == "accept queue"
    # Where the kernel does not count them, the late connections have to do.
    assert of(plain(measurement=late, surroundings=None)).limit == "accept queue"


def test_gevent_workers_are_not_uneven() -> None:
    trial, workload, cores = recorded("uneven_workers")
    gevent = replace(trial, deployment=replace(trial.deployment, threads=None, async_cores=50))
    assert of(gevent, workload, cores).limit != "uneven workers"


@pytest.mark.parametrize(
    ("surroundings", "warning"),
    [
        (around(canary_before=0.050, canary_after=0.061), "took 50 ms before the trial and 61"),
        (around(canary_before=0.061, canary_after=0.050), "61 ms before the trial and 50"),
        (around({"cpu_steal_seconds": 0.5}), "the hypervisor took 1.2% of all cores"),
        (around({"cpu_idle_seconds": 35.0}), "programs outside of the trial used 0.25 of 4 cores"),
        (around({"pressure_io_seconds": 1.5}), "15% of the time somebody waited for a disk"),
    ],
)
def test_noise_is_warned_of_whatever_the_limit(surroundings: Surroundings, warning: str) -> None:
    found = of(plain(surroundings=surroundings))
    assert [warning in text for text in found.warnings] == [True]
    assert found.warnings[0].startswith("noise: ")


def test_a_machine_without_any_idle_time_is_not_a_machine_that_does_not_tell() -> None:
    full = around({"cpu_idle_seconds": 0.0})
    assert of(plain(surroundings=full)).limit == "noise"


def test_quiet_surroundings_are_not_warned_of() -> None:
    quiet = around({"cpu_steal_seconds": 0.3}, canary_before=0.050, canary_after=0.055)
    assert of(plain(surroundings=quiet)).warnings == ()


def test_a_harness_that_costs_too_much_says_so() -> None:
    (warning,) = of(plain(usage=usage(harness=0.45))).warnings
    assert warning == "the harness itself used 4.5% of a core"


def test_late_connections_that_were_not_the_limit_are_warned_of() -> None:
    trial, workload, cores = recorded("ceiling")
    assert trial.measurement is not None
    late = replace(trial.measurement, details={"slow_connects": 3})
    found = of(replace(trial, measurement=late), workload, cores)
    assert found.limit == "ceiling"
    assert "3 requests needed a second or more to connect" in found.warnings


def test_packets_that_were_dropped_because_of_a_full_table_are_a_doubt() -> None:
    found = of(plain(surroundings=around({"untracked_drops": 1234.0})))
    assert any("dropped 1,234 packets" in warning for warning in found.warnings)
    assert not any("packets" in warning for warning in of(plain()).warnings)


def test_a_load_that_ended_before_its_duration_is_a_doubt() -> None:
    measured = a_measurement(seconds=400.4, details={"stopped_at_requests": 5_000_000})
    cut = plain(load=Load(200, duration=3600.0), measurement=measured)
    (warning,) = (said for said in of(cut).warnings if "the load ended" in said)
    assert warning.startswith("the load ended after 400 of 3600 s: 5,000,000 requests are the most")
    assert not any("the load ended" in warning for warning in of(plain()).warnings)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_rule_says_what_it_finds(rule: Callable[..., object]) -> None:
    assert (rule.__doc__ or "").startswith("Find ")
