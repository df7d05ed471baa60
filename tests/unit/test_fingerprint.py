"""What the kernel's files say, read from trees made for the purpose."""

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.machine import cgroup, hardware, kernel, moment, versions
from bench.machine.system import System


def tree(root: Path, files: Mapping[str, str]) -> System:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return System(root)


def test_what_is_absent_or_no_number_is_none(tmp_path: Path) -> None:
    system = tree(tmp_path, {"word": "many\n", "number": "12\n"})
    assert (system.text("word"), system.text("absent"), system.text("")) == ("many", None, None)
    assert (system.number("number"), system.number("word")) == (12, None)
    assert system.table("absent") == {}


@pytest.mark.parametrize(
    ("cpuinfo", "model"),
    [
        ("processor\t: 0\nmodel name\t: AMD EPYC\n\nmodel name\t: other\n", "AMD EPYC"),
        ("CPU implementer\t: 0x41\nCPU part\t: 0xd0c\n", f"{os.uname().machine} 0x41/0xd0c"),
    ],
)
def test_the_processors_name(tmp_path: Path, cpuinfo: str, model: str) -> None:
    assert hardware.cpu_model(tree(tmp_path, {"proc/cpuinfo": cpuinfo})) == model


def test_without_proc_there_is_still_some_name(tmp_path: Path) -> None:
    assert hardware.cpu_model(System(tmp_path))


def test_all_governors_are_named(tmp_path: Path) -> None:
    policies = "sys/devices/system/cpu/cpufreq"
    system = tree(
        tmp_path,
        {
            f"{policies}/policy0/scaling_governor": "powersave\n",
            f"{policies}/policy1/scaling_governor": "performance\n",
            f"{policies}/policy2/scaling_governor": "performance\n",
        },
    )
    assert hardware.governor(system) == "performance, powersave"
    assert hardware.governor(System(tmp_path / "absent")) is None


@pytest.mark.parametrize(
    ("files", "turbo"),
    [
        ({"intel_pstate/no_turbo": "0"}, True),
        ({"intel_pstate/no_turbo": "1"}, False),
        ({"cpufreq/boost": "1"}, True),
        ({"cpufreq/boost": "0"}, False),
        ({}, None),
    ],
)
def test_turbo(tmp_path: Path, files: dict[str, str], turbo: bool | None) -> None:
    system = tree(tmp_path, {f"sys/devices/system/cpu/{k}": v for k, v in files.items()})
    assert hardware.turbo(system) is turbo


CLOCKS = "sys/devices/system/clocksource/clocksource0/available_clocksource"


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({}, None),
        ({"proc/cpuinfo": "flags : fpu vme"}, "none"),
        ({"proc/cpuinfo": "flags : fpu hypervisor"}, "unknown"),
        ({"proc/cpuinfo": "flags : fpu hypervisor", CLOCKS: "tsc kvm-clock"}, "kvm"),
        ({"proc/cpuinfo": "", "sys/class/dmi/id/sys_vendor": "VMware, Inc."}, "vmware"),
        ({"proc/cpuinfo": "", "sys/class/dmi/id/product_name": "Virtual Machine"}, "hyperv"),
        ({"proc/cpuinfo": "", "sys/hypervisor/type": "xen"}, "xen"),
        ({"proc/cpuinfo": "", "proc/device-tree/hypervisor/compatible": "x"}, "unknown"),
    ],
)
def test_the_hypervisor(tmp_path: Path, files: dict[str, str], kind: str | None) -> None:
    assert hardware.hypervisor(tree(tmp_path, files)) == kind


LINUX = {"proc/sys/kernel/osrelease": "6.1.0"}


@pytest.mark.parametrize(
    ("files", "engine"),
    [
        ({}, None),
        (LINUX, "none"),
        (LINUX | {"proc/1/cgroup": "0::/init.scope"}, "none"),
        (LINUX | {".dockerenv": ""}, "docker"),
        (LINUX | {"run/.containerenv": ""}, "podman"),
        (LINUX | {"proc/1/cgroup": "0::/kubepods/burstable/docker-1"}, "kubepods"),
        (LINUX | {"run/systemd/container": "lxc\n"}, "lxc"),
        ({"proc/sys/kernel/osrelease": "5.15.0-microsoft-standard-WSL2"}, "wsl"),
    ],
)
def test_the_container(tmp_path: Path, files: dict[str, str], engine: str | None) -> None:
    assert hardware.container(tree(tmp_path, files)) == engine


V1 = "9:cpu,cpuacct:/job\n4:memory:/job\n"


@pytest.mark.parametrize(
    ("files", "quota", "limit"),
    [
        ({}, None, None),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, None, None),
        (
            {
                "proc/self/cgroup": "0::/a/b",
                "sys/fs/cgroup/a/b/cpu.max": "400000 100000",
                "sys/fs/cgroup/a/cpu.max": "150000 100000",
                "sys/fs/cgroup/a/b/memory.max": "max",
                "sys/fs/cgroup/a/memory.max": "1000000",
            },
            1.5,
            1_000_000,
        ),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "50000",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "2000000",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
            },
            0.5,
            2_000_000,
        ),
        (
            {"proc/self/cgroup": V1, "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1"},
            None,
            None,
        ),
        (  # in a container: the path is the host's, the limit lies at the root
            {"proc/self/cgroup": V1, "sys/fs/cgroup/memory/memory.limit_in_bytes": "3000000"},
            None,
            3_000_000,
        ),
    ],
)
def test_bounds_of_control_groups(
    tmp_path: Path, files: dict[str, str], quota: float | None, limit: int | None
) -> None:
    system = tree(tmp_path, files)
    assert cgroup.quota(system) == quota
    assert cgroup.memory_limit(system) == limit


@pytest.mark.parametrize(
    ("groups", "file"),
    [
        ("0::/docker/abc\n", "sys/fs/cgroup/docker/abc/memory.events"),
        ("4:memory:/docker/abc\n0::/\n", "sys/fs/cgroup/memory/docker/abc/memory.oom_control"),
    ],
)
def test_kills_for_the_memory_limit_of_a_container(tmp_path: Path, groups: str, file: str) -> None:
    for name, text in (("proc/42/cgroup", groups), (file, "oom 5\noom_kill 2\n")):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    assert cgroup.oom_kills(System(tmp_path), 42) == 2
    assert cgroup.oom_kills(System(tmp_path), 43) is None


def test_idle_caches_count_as_memory_left(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/a"
    system = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a",
            f"{group}/memory.max": "1000",
            f"{group}/memory.current": "900",
            f"{group}/memory.stat": "anon 300\ninactive_file 600\n",
        },
    )
    assert cgroup.memory_left(system) == 700
    assert cgroup.memory_left(System(tmp_path / "absent")) is None


def test_sysctls_are_those_that_the_kernel_has(tmp_path: Path) -> None:
    system = tree(
        tmp_path,
        {
            "proc/sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
            "proc/sys/net/core/somaxconn": "128\n",
        },
    )
    assert kernel.sysctls(system) == {"net.ipv4.ip_local_port_range": "32768 60999"}
    assert kernel.somaxconn(system) == 128


def test_steal(tmp_path: Path) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    system = tree(tmp_path, {"proc/stat": f"cpu  1 2 3 4 5 6 7 {3 * ticks} 0 0\ncpu0 1\n"})
    assert kernel.steal_seconds(system) == 3.0
    assert kernel.steal_seconds(tree(tmp_path, {"proc/stat": "cpu 1 2 3 4\n"})) is None


def test_ab_is_told_by_the_package_that_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/ab" if name == "ab" else None)
    status = (
        "Package: apache2\nVersion: 1\n\nPackage: apache2-utils\nStatus: ok\n"
        "Version: 2.4.71-1~deb12u1\n\nPackage: b\nVersion: 3\n"
    )
    files = {
        "var/lib/dpkg/status": status,
        "var/lib/dpkg/info/apache2-utils.list": "/.\n/usr/bin\n/usr/bin/ab\n",
    }
    assert versions.package_of("ab", tree(tmp_path, files)) == "apache2-utils 2.4.71-1~deb12u1"
    assert versions.package_of("ab", System(tmp_path / "absent")) is None
    assert versions.package_of("other", System(tmp_path)) is None


def test_homebrew_has_the_version_in_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "Cellar" / "httpd" / "2.4.66" / "bin" / "ab"
    program.parent.mkdir(parents=True)
    program.touch()
    (tmp_path / "ab").symlink_to(program)
    monkeypatch.setattr("shutil.which", lambda _: str(tmp_path / "ab"))
    assert versions.package_of("ab", System(tmp_path)) == "httpd 2.4.66"


def stat_line(name: str, *ticks: int) -> str:
    return f"1 ({name}) S " + " ".join(["0"] * 10) + " " + " ".join(map(str, ticks)) + " 20 0"


def look_twice(
    tmp_path: Path, before: Mapping[str, str], after: Mapping[str, str], seconds: float = 0.2
) -> moment.Moment:
    system = tree(tmp_path, before)
    times: Iterator[float] = iter((0.0, seconds))
    return moment.read_moment(
        system, sleep=lambda _: (tree(tmp_path, after), None)[1], clock=lambda: next(times)
    )


def test_the_busiest_program_is_named_and_this_one_left_out(tmp_path: Path) -> None:
    here = f"proc/{os.getpid()}/stat"
    before = {
        "proc/stat": "cpu 100 0 100 1000 0 0 0 0\n",
        here: stat_line("pytest", 5, 5, 0, 0),
        "proc/70/stat": stat_line("cc1 (a) b", 50, 0, 0, 0),
        "proc/71/stat": stat_line("quiet", 9, 9, 0, 0),
        "proc/meminfo": "MemAvailable: 1000 kB\nSwapTotal: 50 kB\nSwapFree: 20 kB\n",
        "proc/vmstat": "pswpin 1\npswpout 1\n",
    }
    hertz = os.sysconf("SC_CLK_TCK")
    work = hertz // 5  # 0.2 s of one core each, here and there
    after = {
        "proc/stat": f"cpu {100 + 2 * work} 0 100 {1000 + work} 0 0 0 {work}\n",
        here: stat_line("pytest", 5 + work // 2, 5, work - work // 2, 0),
        "proc/70/stat": stat_line("cc1 (a) b", 50 + work, 0, 0, 0),
        "proc/vmstat": "pswpin 1\npswpout 9\n",
    }
    seen = look_twice(tmp_path, before, after)
    assert seen.busy_cores == pytest.approx(1.0)
    assert seen.busiest == "cc1 (a) b (process 70, 100% of a core)"
    assert seen.stolen == pytest.approx(0.25)
    assert seen.free_memory_bytes == 1000 * 1024
    assert seen.swap_used_bytes == 30 * 1024
    assert seen.swapping


def test_without_proc_nothing_is_told_and_nothing_waited_for(tmp_path: Path) -> None:
    def never(_: float) -> None:
        raise AssertionError

    seen = moment.read_moment(System(tmp_path), sleep=never)
    assert (seen.busy_cores, seen.free_memory_bytes, seen.swap_used_bytes) == (None, None, None)


@pytest.mark.parametrize(
    ("status", "on_battery"), [("Discharging", True), ("Charging", False), (None, None)]
)
def test_battery(tmp_path: Path, status: str | None, on_battery: bool | None) -> None:
    files = {"sys/class/power_supply/BAT0/status": status} if status else {}
    assert moment.on_battery(tree(tmp_path, files)) is on_battery


def test_watchers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydevd", os)
    system = tree(tmp_path, {"proc/self/status": "TracerPid:\t7\n", "proc/7/comm": "strace\n"})
    found = moment.watchers(system, {"PYTHONDEVMODE": "1", "LD_PRELOAD": "", "HOME": "/"})
    assert {"pydevd", "PYTHONDEVMODE=1", "strace (process 7), which traces this one"} <= set(found)
    assert not any("LD_PRELOAD" in each for each in found)


def test_a_trace_function_is_seen(tmp_path: Path) -> None:
    before = sys.gettrace()
    sys.settrace(lambda *_: None)
    try:
        found = moment.watchers(System(tmp_path), {})
    finally:
        sys.settrace(before)
    assert any("trace function" in each for each in found)


@pytest.mark.parametrize(("count", "follows"), [("27", False), (None, None)])
def test_a_table_that_does_not_grow_follows_nothing(
    tmp_path: Path, count: str | None, follows: bool | None
) -> None:
    files = {"proc/sys/net/netfilter/nf_conntrack_count": count} if count else {}
    assert moment.tracks_connections(tree(tmp_path, files)) is follows


def test_a_table_that_grows_with_a_connection_follows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = tree(tmp_path, {"proc/sys/net/netfilter/nf_conntrack_count": "27"})
    count = tmp_path / "proc/sys/net/netfilter/nf_conntrack_count"
    connect = socket.create_connection

    def counted(*where: Any, **how: Any) -> socket.socket:
        count.write_text("28")
        return connect(*where, **how)

    monkeypatch.setattr(socket, "create_connection", counted)
    assert moment.tracks_connections(system) is True
