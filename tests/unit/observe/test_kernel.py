from pathlib import Path

import pytest

from bench.observe import kernel
from bench.observe.kernel import counters, growth, places


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """Some files of /proc and /sys/fs/cgroup as Linux 6 writes them."""
    files = {
        "proc/net/netstat": "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 0 12 13\n"
        "IpExt: InNoRoutes InTruncatedPkts\nIpExt: 0 0\n",
        "proc/net/snmp": "Tcp: RtoAlgorithm RtoMin MaxConn RetransSegs\nTcp: 1 200 -1 77\n",
        "proc/net/sockstat": "sockets: used 42\nTCP: inuse 5 orphan 0 tw 7290 alloc 5 mem 0\n",
        "proc/net/stat/nf_conntrack": "entries  clashres drop early_drop\n"
        "00007c21  00000000 0000000f 00000001\n00007c21  00000000 00000010 00000000\n",
        "proc/stat": "cpu  1000 0 500 8000 20 0 30 10 0 0\ncpu0 1 2 3 4 5 6 7 8 9 0\nctxt 123456\n",
        "proc/pressure/cpu": "some avg10=1.00 avg60=1.00 avg300=1.00 total=2500000\n",
        "proc/vmstat": "nr_free_pages 1\noom_kill 2\n",
        "proc/self/cgroup": "0::/box/inner\n",
        "cgroup/box/cpu.stat": "usage_usec 5\nnr_throttled 3\nthrottled_usec 1500000\n",
        "cgroup/box/inner/cpu.stat": "usage_usec 5\nnr_throttled 1\nthrottled_usec 500000\n",
        "cgroup/box/memory.events": "low 0\nhigh 0\nmax 9\noom 4\noom_kill 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def read(system: Path) -> dict[str, float]:
    return counters(places(proc=system / "proc", cgroups=system / "cgroup"))


def test_every_counter_in_seconds_and_counts(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "TICKS", 100)
    assert read(system) == {
        "ListenOverflows": 12,
        "ListenDrops": 13,
        "RetransSegs": 77,
        "untracked_drops": 31,
        "time_wait": 7290,
        "cpu_user_seconds": 10,
        "cpu_nice_seconds": 0,
        "cpu_system_seconds": 5,
        "cpu_idle_seconds": 80,
        "cpu_iowait_seconds": 0.2,
        "cpu_irq_seconds": 0,
        "cpu_softirq_seconds": 0.3,
        "cpu_steal_seconds": 0.1,
        "context_switches": 123456,
        "pressure_cpu_seconds": 2.5,
        "oom_kills": 2,
        "throttled_periods": 4,
        "throttled_seconds": 2.0,
        "memory_limit_hits": 4,
    }


def test_the_first_version_of_control_groups(system: Path) -> None:
    (system / "proc/self/cgroup").write_text("5:memory:/job\n2:cpu,cpuacct:/job\n1:name=x:/\n")
    for controller, name, text in (
        ("cpu", "cpu.stat", "nr_periods 9\nnr_throttled 2\nthrottled_time 3000000000\n"),
        ("memory", "memory.failcnt", "6\n"),
    ):
        (system / "cgroup" / controller / "job").mkdir(parents=True)
        (system / "cgroup" / controller / "job" / name).write_text(text)
    found = read(system)
    assert (found["throttled_periods"], found["throttled_seconds"]) == (2, 3.0)
    assert found["memory_limit_hits"] == 6


@pytest.fixture
def container(system: Path) -> int:
    """Process 42 of the same system, in a network and in control groups of its own."""
    files = {
        "proc/42/net/netstat": "TcpExt: ListenOverflows\nTcpExt: 30\n",
        "proc/42/net/snmp": "Tcp: RetransSegs\nTcp: 3\n",
        "proc/42/net/sockstat": "TCP: inuse 5 orphan 0 tw 10 alloc 5 mem 0\n",
        "proc/42/cgroup": "0::/box/docker/abc\n",
        "cgroup/box/docker/abc/cpu.stat": "nr_throttled 7\nthrottled_usec 1000000\n",
    }
    for name, text in files.items():
        (system / name).parent.mkdir(parents=True, exist_ok=True)
        (system / name).write_text(text)
    return 42


def test_a_containers_own_network_and_limits_count_too(system: Path, container: int) -> None:
    where = places([container, container], proc=system / "proc", cgroups=system / "cgroup")
    found = counters(where)
    assert found["ListenOverflows"] == 12 + 30
    assert found["RetransSegs"] == 77 + 3
    assert found["time_wait"] == 7300
    assert found["throttled_periods"] == 4 + 7  # the group that both are in counts once
    assert "ListenDrops" not in found  # one of them does not tell: no sum


def test_without_the_containers_network_there_is_no_sum(system: Path, container: int) -> None:
    where = places([container], proc=system / "proc", cgroups=system / "cgroup")
    for file in (system / "proc" / "42" / "net").iterdir():
        file.unlink()
    found = counters(where)
    assert "ListenOverflows" not in found
    assert "cpu_user_seconds" in found


def test_what_the_system_lacks_is_absent(tmp_path: Path) -> None:
    assert read(tmp_path) == {}


@pytest.mark.parametrize("file", ["net/netstat", "net/snmp", "stat", "pressure/cpu", "vmstat"])
def test_an_odd_file_costs_only_its_own_counters(system: Path, file: str) -> None:
    (system / "proc" / file).write_text("TcpExt: a b\nTcpExt: 1\ncpu x y\nctxt\noom_kill\n=\n")
    found = read(system)
    assert found["time_wait"] == 7290


def test_growth_is_of_what_both_have() -> None:
    assert growth({"a": 1, "gone": 5}, {"a": 3.5, "new": 1}) == {"a": 2.5}


def test_this_very_system() -> None:
    if not Path("/proc/stat").exists():
        pytest.skip("no /proc")
    assert {"cpu_idle_seconds", "context_switches"} <= counters().keys()
