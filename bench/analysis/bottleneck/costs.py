"""Rules about what is used up: somebody's CPU, or memory."""

from bench.analysis.bottleneck.seen import Seen, Verdict

CLIENT_BUSY = 0.80
"""Part of one core: above it the single-threaded ab is the bottleneck (measured)."""
BUSY = 0.85
"""Part of the cores that somebody can use. Not 1: waves, start and end of a load leave gaps, and
processes that were surely limited by it showed 93 to 100% (measured)."""
THROTTLED = 0.05
"""Part of the time in which a control group's quota stopped somebody; at that, the rate itself is
off by about as much."""
MEMORY_PRESSURE = 0.10
"""Part of the time in which somebody waited for memory (PSI's "some"). A machine that has enough
shows 0."""
CROWDED = 0.25
"""Part of all cores that programs outside of the trial used, from which on a busy machine says
nothing of the trial: the same canary took four times as long then (measured)."""
EXPLAINED = 0.5
"""Part of the time beyond the delay that a burst of computing has to account for."""


def memory(seen: Seen) -> Verdict | None:
    """Find that the kernel killed for memory, or made somebody wait for it."""
    kills = seen.counter("oom_kills")
    waited = seen.counter("pressure_memory_seconds") / seen.seconds
    if not kills and waited < MEMORY_PRESSURE:
        return None
    hits = seen.counter("memory_limit_hits")
    return Verdict(
        "memory",
        f"the kernel killed {kills:.0f} process(es) for memory, and in {waited:.0%} of the time"
        f" somebody waited for it; the control group's limit was met {hits:.0f} times",
        "fewer WORKERS or THREADS, or a higher memory limit",
    )


def cpu_quota(seen: Seen) -> Verdict | None:
    """Find that a control group's quota stopped it."""
    stopped = seen.counter("throttled_seconds") / seen.seconds
    if stopped < THROTTLED:
        return None
    return Verdict(
        "CPU quota",
        f"the control group's CPU quota stopped it {seen.counter('throttled_periods'):.0f} times,"
        f" for {stopped:.0%} of the time",
        "raise the container's CPU limit, or set WORKERS to it",
    )


def client(seen: Seen) -> Verdict | None:
    """Find the load generator itself at its end."""
    used = seen.cores_used("client")
    if used is None or used < CLIENT_BUSY:
        return None
    return Verdict(
        "client",
        f"the load generator, which has one thread, used {used:.0%} of a core",
        "this measures the load generator, not the server: use requests that cost more, or"
        " another LOAD",
    )


def upstream_cpu(seen: Seen) -> Verdict | None:
    """Find the slow API at its end."""
    workers = len(seen.of_workers("api", "cpu_seconds")) or 1
    remedy = "the slow API limits, not the server: give it more API_WORKERS"
    return _used_up(seen, "api", workers, limit="upstream", remedy=remedy)


def proxy_cpu(seen: Seen) -> Verdict | None:
    """Find the proxy at its end."""
    usage = seen.trial.usage.get("nginx")
    workers = max(1, usage.processes_during - 1) if usage else 1
    remedy = "raise worker_processes in nginx.conf"
    return _used_up(seen, "nginx", workers, limit="proxy CPU", remedy=remedy)


def server_cpu(seen: Seen) -> Verdict | None:
    """Find the server's processes at their end: each runs Python on one core at a time."""
    workers = seen.trial.deployment.processes
    more = "raise WORKERS" if workers < seen.cores else "more cores"
    remedy = f"{more}, or make the request cheaper"
    return _used_up(seen, "server", workers, limit="server CPU", remedy=remedy)


def database_cpu(seen: Seen) -> Verdict | None:
    """Find Postgres at its end: each connection runs on one core at a time."""
    connections = seen.workload.connections(seen.trial.deployment) or 1
    remedy = "make the queries cheaper"
    return _used_up(seen, "postgres", connections, limit="database", remedy=remedy)


def machine_cpu(seen: Seen) -> Verdict | None:
    """Find all cores busy, although no role alone has used up its own."""
    busy = seen.machine_busy()
    if busy is None:
        busy = seen.all_roles() / seen.cores
    if busy < BUSY:
        return None
    others = seen.others() or 0.0
    if others >= CROWDED * seen.cores:
        return Verdict(
            "noise",
            f"{busy:.0%} of {seen.cores} cores were busy, and programs outside of the trial used"
            f" {others:.2f} of them; cores used in it: {seen.shares()}",
            "repeat it on a quiet machine",
        )
    return Verdict(
        "machine CPU",
        f"{busy:.0%} of {seen.cores} cores were busy; cores used: {seen.shares()}",
        "all roles share this machine: use one with more cores, or fewer WORKERS for all",
    )


def bursts(seen: Seen) -> Verdict | None:
    """Find that requests come in waves: while one is computed, nobody waits for the delay."""
    delay = seen.workload.delay
    own = [cores for role in ("server", "nginx") if (cores := seen.cores_used(role)) is not None]
    if not delay or not own:
        return None
    usable = min(seen.trial.deployment.processes, seen.cores)
    per_request = max(sum(own) / usable, seen.all_roles() / seen.cores) / seen.rate
    wave = seen.at_once / seen.rate
    burst = seen.at_once * per_request
    if burst < EXPLAINED * (wave - delay):
        return None
    return Verdict(
        "server CPU",
        f"{seen.at_once} requests come together and keep {usable} core(s) busy for {burst:.2f} s,"
        f" so a wave takes {wave:.2f} s instead of {delay:g} s",
        "raise WORKERS" if usable < seen.cores else "make the request cheaper, or more cores",
    )


def _used_up(seen: Seen, role: str, processes: int, *, limit: str, remedy: str) -> Verdict | None:
    """Find that a role used up what so many processes can use."""
    used = seen.cores_used(role)
    usable = min(processes, seen.cores)
    if used is None or used < BUSY * usable:
        return None
    return Verdict(
        limit, f"{role}: its processes used {used / usable:.0%} of {usable} core(s)", remedy
    )
