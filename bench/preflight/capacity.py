"""Whether cores, queues, files and ports are enough for the plan."""

import math

from bench.model import Machine
from bench.plan import OVERHEAD, PlannedTrial
from bench.preflight.facts import REACHABLE, Facts, Rule, names

API_PROCESSES = 2
"""`API_WORKERS` of slow_api/server.py, which takes one where there is one core."""
LOAD_GENERATOR = 1
"""ab is one thread."""
FASTEST = 10_000.0
"""Requests per second where arithmetic sets no limit (measured: 10,550 of the fastest server)."""
TIME_WAIT = 60.0
"""Seconds that a closed connection holds its port: TCP_TIMEWAIT_LEN of include/net/tcp.h."""
TIME_WAIT_REUSED = 1.0
"""Seconds with tcp_tw_reuse, which lets a newer timestamp take the port over (ip-sysctl.rst; 2, the
default since Linux 4.19: on the loopback device only). Measured with 1,000 ports and a client that
closes first: with 0 the 1,001st connection fails, with 2 they went on at 870 per second."""
TRACKED_FOR = 120.0
"""Seconds: nf_conntrack_tcp_timeout_time_wait (nf_conntrack-sysctl.rst). Seen: at 9,000 requests a
second a table of 262,144 was full within half a minute, and packets were dropped."""
FILES_BESIDE = 64
"""Files of a server beside its connections: libraries, logs, listeners, event loop (measured: at
most 17)."""


def cores(facts: Facts) -> str | None:
    """Warn if the servers share their cores with what loads them."""
    beside = LOAD_GENERATOR
    if "api" in facts.workload.uses:
        beside += min(API_PROCESSES, facts.machine.cores)

    def crowded(planned: PlannedTrial) -> bool:
        # Where requests mostly wait, nobody asks for a whole core.
        limit = facts.ceiling(planned)
        saturating = limit is None or limit.requests_per_second > REACHABLE
        return saturating and planned.deployment.processes + beside > facts.cores

    short = facts.which(crowded)
    if not short:
        return None
    most = max(deployment.processes for deployment in short)
    others = "the load generator, which wants one"
    if beside > LOAD_GENERATOR:
        others = f"the load generator and the slow API, which want {beside}"
    room = int(facts.cores) - beside
    own = f"WORKERS={room} leaves each a core of its own" if 1 <= room < most else ""
    return (
        f"{most} server processes ({names(short)}) share {facts.cores:g} cores with {others}:"
        f" under load the figures are those of the whole machine, and differences"
        f" between servers shrink. {own or 'Use a machine with more cores'}."
    )


def listen_queue(facts: Facts) -> str | None:
    """Warn if listen queues are too short, or the kernel cuts them down."""
    bound = facts.machine.somaxconn
    if bound is None:
        return None
    wanted = max((planned.deployment.backlog or 0 for planned in facts.plan), default=0)
    queue = min(wanted or bound, bound)
    cut = facts.which(lambda planned: (planned.deployment.backlog or 0) > bound)
    problems = [f"the BACKLOG={wanted} of {names(cut)} is cut to that"] if cut else []
    if facts.concurrency > queue:
        held = "it" if queue == bound else f"BACKLOG={wanted}"
        problems.append(
            f"{facts.concurrency} connections at once overflow {held}, and wait 1, 3 or 7 s"
        )
    if not problems:
        return None
    enough = max(wanted, facts.concurrency)
    remedies = [f"raise it with `sudo sysctl -w net.core.somaxconn={enough}`"] * (enough > bound)
    remedies += [f"set BACKLOG={enough}"] * (0 < wanted < enough)
    return (
        f"net.core.somaxconn is {bound}: {'; '.join(problems)}. Remedy:"
        f" {' and '.join(remedies)}, or lower CONCURRENCY."
    )


def slots(facts: Facts) -> str | None:
    """Warn if a deployment of greenlets holds fewer requests than are to be under way."""

    def too_few(planned: PlannedTrial) -> bool:
        held = planned.deployment.slots if planned.deployment.async_cores else None
        return held is not None and held < planned.load.concurrency

    short = facts.which(too_few)
    if not short:
        return None
    fewest = min(deployment.processes for deployment in short)
    # Connections do not spread evenly over workers: half as many again, in round numbers.
    enough = math.ceil(1.5 * facts.concurrency / fewest / 500) * 500
    return (
        f"{names(short)} cannot hold {facts.concurrency} requests at once; the rest waits in the"
        f" listen queue, and a uWSGI worker that is full spins. ASYNC_CORES={enough} is enough."
    )


def descriptors(facts: Facts) -> str | None:
    """Warn if a server process may run out of files."""
    needed = {planned.deployment.name: _files(facts, planned) for planned in facts.first_round()}
    most, limit = max(needed.values()), facts.machine.open_files
    short = facts.which(lambda planned: needed[planned.deployment.name] > limit)
    if not short:
        return None
    hard = facts.machine.open_files_hard
    root = " as root" if hard is not None and most > hard else ""
    return (
        f"a process of {names(short)} may need {most} file descriptors and gets {limit}"
        f" (RLIMIT_NOFILE): connections fail or wait above that. Run `ulimit -n {most}`{root} in"
        " the shell that starts this, or lower CONCURRENCY."
    )


def _files(facts: Facts, planned: PlannedTrial) -> int:
    """Return how many files one server process may have open: at worst it gets every request."""
    deployment = planned.deployment
    slots = deployment.slots
    at_once = planned.load.concurrency
    if slots is not None:
        at_once = min(at_once, slots // deployment.processes)
    calls = at_once if "api" in facts.workload.uses else 0
    connections = facts.workload.connections_per_process(deployment) or 0
    return at_once + calls + min(at_once, connections) + FILES_BESIDE


def _ports(facts: Facts) -> str | None:
    ports = _port_count(facts.machine)
    if ports is None:
        return None
    remedy = 'Widen them: `sudo sysctl -w net.ipv4.ip_local_port_range="1024 65535"`'
    if facts.concurrency > ports:
        return (
            f"{facts.concurrency} connections at once need as many local ports, and there are"
            f" {ports}. {remedy}, or lower CONCURRENCY."
        )
    reused = facts.machine.sysctls.get("net.ipv4.tcp_tw_reuse", "0") != "0"
    hold = TIME_WAIT_REUSED if reused else TIME_WAIT
    short = facts.which(lambda planned: _held_ports(facts, planned, hold) > ports)
    if not short:
        return None
    return (
        f"{names(short)}: nginx opens a connection to uWSGI for each request, and each keeps its"
        f" port for {hold:g} s after it; {ports} ports are not enough for this load. {remedy}"
        + ("" if reused else ", or reuse them: `sudo sysctl -w net.ipv4.tcp_tw_reuse=1`")
        + "."
    )


def _held_ports(facts: Facts, planned: PlannedTrial, hold: float) -> float:
    """Return how many ports of this machine's closed connections hold at once, by estimate.

    Who closes first waits in TIME_WAIT. For ab that is the server, on its own one port: measured,
    6,000 requests in 2 s through 1,000 ports without a failure. nginx closes first towards uWSGI,
    whose protocol has no keep-alive: there 1,000 ports failed 431 of 4,000.
    """
    if "uwsgi" not in (planned.deployment.proxy or ""):
        return 0.0
    limit = facts.ceiling(planned)
    rate = limit.requests_per_second if limit else FASTEST
    lasting = min(hold, planned.load.duration or hold)
    return min(planned.load.requests or rate * lasting, rate * lasting)


def tracking(facts: Facts) -> str | None:
    """Warn if the kernel follows connections, and may have to drop some for it."""
    most = int(facts.machine.sysctls.get("net.netfilter.nf_conntrack_max", "0"))
    if not (most and facts.moment.tracks_connections):
        return None
    connections = seconds = 0.0
    for planned in facts.plan:
        limit = facts.ceiling(planned)
        rate = limit.requests_per_second if limit else FASTEST
        sent = planned.load.requests or rate * (planned.load.duration or 0.0)
        connections += sent * (2 if planned.deployment.proxy else 1)
        seconds += sent / rate + OVERHEAD
    held = connections * min(1.0, TRACKED_FOR / seconds)
    if held < most:
        return None
    return (
        f"the kernel follows every connection (a firewall or Docker wants that), keeps each for"
        f" {TRACKED_FOR:g} s after its end, and drops packets above {most:,}; this run may have"
        f" {held:,.0f} in that time. `sudo sysctl -w net.netfilter.nf_conntrack_max="
        f"{math.ceil(held / 1e6)}000000` gives it room."
    )


def _port_count(machine: Machine) -> int | None:
    first, _, last = machine.sysctls.get("net.ipv4.ip_local_port_range", "").partition(" ")
    return int(last) - int(first) + 1 if first.isdecimal() and last.isdecimal() else None


RULES: tuple[Rule, ...] = (cores, listen_queue, slots, descriptors, _ports, tracking)
