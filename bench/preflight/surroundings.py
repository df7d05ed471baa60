"""What else the machine is busy with, and what it holds back."""

from bench.preflight.facts import Facts, Rule

BUSY = 0.3
"""Cores: 4 ticks of the clock in 0.15 s. A server of one process would get so much less."""
BUSY_LOAD = 0.5
"""Load average by core, where nothing better is told. It still counts the run before this one."""
STOLEN = 0.05
"""Part of all time: 3 ticks of 60. Less cannot be told from one tick in so short a look."""
SWAP = 0.05
"""Part of the memory. A choice: less than that is swapped out in peace, and stays there."""
MEMORY_BASE = 300e6
"""Bytes for the harness, ab, Postgres and the slow API (its 45 MB are measured), rounded up."""
MEMORY_PROCESS = 60e6
"""Bytes per server process: 20 to 42 MB measured with this app, and room for one's own."""
MEMORY_REQUEST = 100e3
"""Bytes per request under way (measured: 874 MB at c=10,000 on 4 workers)."""


def _other_load(facts: Facts) -> str | None:
    remedy = "Stop it or wait until it has ended; the figures would be its own, too."
    busy = facts.moment.busy_cores
    if busy is not None:
        if busy < BUSY:
            return None
        busiest = facts.moment.busiest
        who = f", most of it {busiest}" if busiest else ""
        return f"other programs keep {busy:.1f} of {facts.machine.cores} cores busy{who}. {remedy}"
    average = facts.machine.load_average
    if average is None or average[0] < BUSY_LOAD * facts.machine.cores:
        return None
    return (
        f"the load average is {average[0]:.1f} on {facts.machine.cores} cores: something else is"
        f" running. {remedy}"
    )


def _stolen(facts: Facts) -> str | None:
    stolen = facts.moment.stolen
    if stolen is None or stolen < STOLEN:
        return None
    return (
        f"the hypervisor gives {stolen:.0%} of this machine's time to others: no two trials get the"
        " same machine. Use a dedicated one, or ROUNDS=5 and more and heed the intervals."
    )


def _quota(facts: Facts) -> str | None:
    machine = facts.machine
    if machine.usable_cores is None or machine.usable_cores >= machine.cores:
        return None
    if machine.quota_cores is not None and machine.quota_cores <= machine.usable_cores:
        return (
            f"the control group gets {machine.quota_cores:g} of {machine.cores} cores' time, and is"
            " held up for the rest of each period (0.1 s) once that is used: long pauses, that are"
            " no server's. Lift the quota (`docker run --cpus`, CPUQuota=), or bind to whole cores"
            " (`--cpuset-cpus`)."
        )
    return (
        f"this process may run on {machine.usable_cores:g} of {machine.cores} cores (affinity),"
        " while nginx and others count them all. Start it without `taskset` or a cpuset, or set"
        " WORKERS accordingly."
    )


def _governor(facts: Facts) -> str | None:
    governor = facts.machine.governor
    if governor in {None, "performance"}:
        return None
    return (
        f"the frequency governor is {governor}: cores start slow and speed up under load. Fix it:"
        " `sudo cpupower frequency-set -g performance`."
    )


def _battery(facts: Facts) -> str | None:
    if not facts.moment.on_battery:
        return None
    return "this machine runs on its battery, which slows it down. Plug it in."


def memory(facts: Facts) -> str | None:
    """Warn if the servers may need more memory than is free."""
    free = facts.moment.free_memory_bytes
    most = max(planned.deployment.processes for planned in facts.plan)
    needed = MEMORY_BASE + most * MEMORY_PROCESS + facts.concurrency * MEMORY_REQUEST
    if free is None or free >= needed:
        return None
    return (
        f"{free / 1e6:.0f} MB of memory are free, and this run may need {needed / 1e6:.0f} MB:"
        " it would swap, or be killed. End other programs, raise the container's limit, or lower"
        " CONCURRENCY or WORKERS."
    )


def _swap(facts: Facts) -> str | None:
    used = facts.moment.swap_used_bytes or 0
    if not facts.moment.swapping and used <= SWAP * facts.machine.memory_bytes:
        return None
    now = "and pages are being moved now" if facts.moment.swapping else "so memory has been short"
    return (
        f"{used / 1e6:.0f} MB of swap are in use, {now}: a request that meets a swapped page waits"
        " for the disk. End what takes the memory, then `sudo swapoff -a && sudo swapon -a`."
    )


def _watched(facts: Facts) -> str | None:
    watchers = facts.moment.watchers
    if not watchers:
        return None
    return (
        f"at work here: {', '.join(watchers)}. It slows the harness or the servers, which inherit"
        " the environment. Run without it."
    )


RULES: tuple[Rule, ...] = (
    _other_load, _stolen, _quota, memory, _swap, _governor, _battery, _watched,
)  # fmt: skip
