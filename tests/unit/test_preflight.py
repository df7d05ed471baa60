"""Each rule, with facts that it has to warn of and facts that are in order."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from bench.machine.moment import Moment
from bench.model import Deployment, Load, Machine, Workload
from bench.plan import PlannedTrial
from bench.preflight import RULES, preflight

GB = 10**9
SERVER = Deployment(
    "gevent-uwsgi", "t", "uwsgi", ("x",), (), workers=4, async_cores=2000, backlog=4096
)
OTHER = replace(SERVER, name="gevent-gunicorn", server="gunicorn")
BEHIND_NGINX = replace(SERVER, name="nginx-uwsgi", proxy="nginx/uwsgi.conf")
BUSY = Workload(
    "busy", "p", "/?delay={delay}", Load(200, duration=10.0), delay=0.0, body="x", uses=("api",)
)
API = replace(BUSY, name="api", load=Load(200, requests=2000), delay=1.0)
QUIET = Moment(busy_cores=0.05, stolen=0.0, free_memory_bytes=8 * GB, swap_used_bytes=0)
GOOD = Machine(
    cpu="c", cores=16, memory_bytes=16 * GB, system="s", kernel="k", python="3", somaxconn=4096,
    open_files=65536, versions={}, git_revision=None, usable_cores=16.0, governor="performance",
    open_files_hard=65536, load_average=(0.1, 0.1, 0.1),
    sysctls={"net.ipv4.ip_local_port_range": "32768 60999", "net.ipv4.tcp_tw_reuse": "2"},
)  # fmt: skip


def warnings(
    *deployments: Deployment,
    workload: Workload = BUSY,
    rounds: int = 5,
    moment: Moment = QUIET,
    **machine: Any,
) -> tuple[str, ...]:
    plan = [
        PlannedTrial(number, deployment, workload.load)
        for number in range(1, rounds + 1)
        for deployment in deployments or (SERVER, OTHER)
    ]
    return preflight(replace(GOOD, **machine), plan, workload, moment)


def loaded(concurrency: int, workload: Workload = BUSY) -> Workload:
    return replace(workload, load=replace(workload.load, concurrency=concurrency))


def test_a_good_machine_and_plan_give_no_warning() -> None:
    assert warnings() == ()
    assert warnings(BEHIND_NGINX) == ()


def test_nothing_planned_nothing_to_warn_of() -> None:
    assert preflight(GOOD, [], BUSY, QUIET) == ()


def test_what_is_not_told_is_not_warned_of() -> None:
    nothing: Mapping[str, Any] = dict.fromkeys(
        ("somaxconn", "usable_cores", "governor", "open_files_hard", "load_average")
    )
    assert warnings(moment=Moment(), **nothing, sysctls={}) == ()


def only(found: tuple[str, ...]) -> str:
    assert len(found) == 1, found
    return found[0]


MACHINES: list[tuple[dict[str, Any], list[str]]] = [
    ({"somaxconn": 128}, ["somaxconn is 128", "BACKLOG=4096 of gevent-gunicorn", "somaxconn=4096"]),
    ({"somaxconn": 4095}, ["BACKLOG=4096"]),
    ({"open_files": 256}, ["464 file descriptors", "gets 256", "`ulimit -n 464` in"]),
    ({"open_files": 256, "open_files_hard": 256}, ["`ulimit -n 464` as root"]),
    ({"cores": 4, "usable_cores": 4.0}, ["4 server processes", "WORKERS=1 "]),
    ({"cores": 3, "usable_cores": 3.0}, ["more cores"]),
    ({"usable_cores": 7.5, "quota_cores": 7.5}, ["7.5 of 16 cores' time", "quota"]),
    ({"usable_cores": 8.0, "affinity_cores": 8}, ["8 of 16 cores (affinity)", "taskset"]),
    ({"governor": "powersave"}, ["powersave", "cpupower"]),
    ({"governor": "performance, powersave"}, ["cpupower"]),
]


@pytest.mark.parametrize(("machine", "said"), MACHINES)
def test_a_bad_machine_is_warned_of_once(machine: dict[str, Any], said: list[str]) -> None:
    text = only(warnings(**machine))
    assert all(part in text for part in said), text


MOMENTS: list[tuple[dict[str, Any], list[str]]] = [
    ({"busy_cores": 1.9, "busiest": "cc1 (process 7)"}, ["1.9 of 16", "cc1 (process 7)"]),
    ({"busy_cores": 0.3}, ["0.3 of 16"]),
    ({"stolen": 0.05}, ["5%", "hypervisor"]),
    ({"free_memory_bytes": 300 * 10**6}, ["300 MB", "560 MB", "CONCURRENCY"]),
    ({"swap_used_bytes": GB}, ["1000 MB of swap", "swapoff"]),
    ({"swapping": True}, ["being moved now"]),
    ({"on_battery": True}, ["battery"]),
    ({"watchers": ("pydevd", "PYTHONDEVMODE=1")}, ["pydevd, PYTHONDEVMODE=1"]),
]


@pytest.mark.parametrize(("moment", "said"), MOMENTS)
def test_a_bad_moment_is_warned_of_once(moment: dict[str, Any], said: list[str]) -> None:
    text = only(warnings(moment=replace(QUIET, **moment)))
    assert all(part in text for part in said), text


@pytest.mark.parametrize(
    "moment",
    [{"busy_cores": 0.29}, {"stolen": 0.04}, {"swap_used_bytes": GB // 2}, {"on_battery": False}],
)
def test_a_moment_that_will_do(moment: dict[str, Any]) -> None:
    assert warnings(moment=replace(QUIET, **moment)) == ()


def test_the_load_average_counts_only_where_nothing_better_is_told() -> None:
    unknown = replace(QUIET, busy_cores=None)
    high = (9.0, 1.0, 1.0)
    assert warnings(load_average=high) == ()
    assert "9.0 on 16 cores" in only(warnings(load_average=high, moment=unknown))
    assert warnings(load_average=(7.0, 1.0, 1.0), moment=unknown) == ()


def test_a_burst_above_the_servers_own_queue() -> None:
    server = replace(SERVER, async_cores=4000)
    text = only(warnings(server, somaxconn=16384, workload=loaded(10_000), open_files=65536))
    assert "10000 connections at once overflow BACKLOG=4096" in text
    assert "Remedy: set BACKLOG=10000, or lower CONCURRENCY" in text
    both = only(warnings(server, somaxconn=8192, workload=loaded(10_000), open_files=65536))
    assert "somaxconn=10000` and set BACKLOG=10000, or lower" in both
    long = replace(server, backlog=10_000)
    assert not warnings(long, somaxconn=16384, workload=loaded(10_000), open_files=65536)


def test_a_burst_above_the_kernels_bound() -> None:
    text = only(warnings(replace(SERVER, backlog=None), workload=loaded(5000)))
    assert "5000 connections at once overflow it" in text
    assert "BACKLOG" not in text


def test_descriptors_count_what_one_process_can_hold() -> None:
    # two per request, for the client and for the API, and no more requests than it has slots
    few = replace(SERVER, async_cores=50 * SERVER.processes)
    assert "BACKLOG" not in only(warnings(workload=loaded(4000), open_files=4063))
    assert "ASYNC_CORES" in only(warnings(few, workload=loaded(4000), open_files=4064))


def test_fewer_slots_than_requests_at_once() -> None:
    small = replace(SERVER, async_cores=250)
    assert warnings(small, workload=loaded(1000)) == ()
    text = only(warnings(small, workload=loaded(1001)))
    assert "gevent-uwsgi cannot hold 1001 requests at once" in text
    assert "ASYNC_CORES=500 is enough" in text
    threads = replace(SERVER, async_cores=None, threads=50)
    assert warnings(threads, workload=loaded(1001)) == ()


def test_waiting_requests_need_no_core_each() -> None:
    assert warnings(SERVER, workload=API, usable_cores=4.0, cores=4) == ()
    alone = replace(SERVER, workers=None)
    assert warnings(alone, usable_cores=4.0, cores=4) == ()


@pytest.mark.parametrize(
    ("deployment", "load", "reuse", "warned"),
    [
        (BEHIND_NGINX, Load(200, duration=10.0), "0", True),
        (BEHIND_NGINX, Load(200, duration=10.0), "2", False),
        (BEHIND_NGINX, Load(200, requests=28_000), "0", False),
        (BEHIND_NGINX, Load(200, requests=29_000), "0", True),
        (SERVER, Load(200, duration=10.0), "0", False),  # ab leaves TIME_WAIT to the server
        (SERVER, Load(2000, requests=10**6), "0", False),
    ],
)
def test_ports_run_out_where_this_side_closes_first(
    deployment: Deployment, load: Load, reuse: str, warned: bool
) -> None:
    sysctls = {**GOOD.sysctls, "net.ipv4.tcp_tw_reuse": reuse}
    found = warnings(deployment, workload=replace(BUSY, load=load), sysctls=sysctls)
    assert [each for each in found if "28232 ports are not enough" in each] == list(found)
    assert bool(found) is warned


def test_a_slow_load_needs_fewer_ports_than_a_minute_of_it() -> None:
    slow = replace(API, load=Load(200, duration=1000.0))
    sysctls = {**GOOD.sysctls, "net.ipv4.tcp_tw_reuse": "0"}
    assert warnings(BEHIND_NGINX, workload=slow, sysctls=sysctls) == ()


def test_fewer_ports_than_connections_at_once() -> None:
    found = warnings(workload=loaded(200), sysctls={"net.ipv4.ip_local_port_range": "1024 1123"})
    assert "there are 100" in only(found)


class TestTracking:
    SYSCTLS: Mapping[str, str] = {**GOOD.sysctls, "net.netfilter.nf_conntrack_max": "262144"}

    def test_a_full_table_drops_packets(self) -> None:
        moment = replace(QUIET, tracks_connections=True)
        text = only(warnings(moment=moment, sysctls=self.SYSCTLS))
        assert "drops packets above 262,144" in text
        assert "sysctl -w net.netfilter.nf_conntrack_max=1000000" in text

    @pytest.mark.parametrize("tracks", [None, False])
    def test_where_nothing_is_followed_nothing_is_full(self, tracks: bool | None) -> None:
        moment = replace(QUIET, tracks_connections=tracks)
        assert warnings(moment=moment, sysctls=self.SYSCTLS) == ()

    def test_a_slow_load_has_room(self) -> None:
        moment = replace(QUIET, tracks_connections=True)
        slow = replace(API, delay=3.0)
        assert not any(
            "nf_conntrack" in each
            for each in warnings(workload=slow, moment=moment, sysctls=self.SYSCTLS)
        )


def test_a_ceiling_in_reach_of_all_is_no_comparison() -> None:
    text = only(warnings(workload=API))
    assert "182 req/s" in text
    assert "gevent-gunicorn, gevent-uwsgi apart" in text
    assert "WORKLOAD=busy" in text


@pytest.mark.parametrize(
    ("deployments", "workload"),
    [
        ((SERVER,), API),  # nothing to confuse it with
        # their own slots
        (
            (
                replace(SERVER, threads=10, async_cores=None),
                replace(OTHER, threads=10, async_cores=None),
            ),
            API,
        ),
        ((SERVER, OTHER), loaded(4000, replace(API, load=Load(200, requests=40_000)))),
    ],
)
def test_a_ceiling_that_tells_apart(
    deployments: tuple[Deployment, ...], workload: Workload
) -> None:
    assert warnings(*deployments, workload=workload) == ()


def test_many_names_are_cut_short() -> None:
    many = tuple(replace(SERVER, name=f"d{number}") for number in range(5))
    assert "d0, d1, d2 and 2 more" in only(warnings(*many, workload=API))


def test_one_round() -> None:
    assert "ROUNDS=5" in only(warnings(rounds=1))
    assert warnings(rounds=2) == ()


def test_every_warning_is_one_line_that_ends() -> None:
    bad = Moment(9.0, None, 0.5, 10**8, 9 * GB, True, True, ("strace",), True)
    worst: dict[str, Any] = {
        "somaxconn": 5, "usable_cores": 1.0, "quota_cores": 1.0, "governor": "ondemand",
        "open_files": 10, "sysctls": {
            "net.ipv4.ip_local_port_range": "1 2",
            "net.netfilter.nf_conntrack_max": "9",
        },
    }  # fmt: skip
    found = warnings(workload=API, rounds=1, moment=bad, **worst)
    assert len(found) == len(RULES) - 2  # requests that wait crowd no core, and slots are enough
    assert all(text.endswith(".") and "\n" not in text for text in found)
