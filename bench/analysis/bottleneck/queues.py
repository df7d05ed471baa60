"""Rules about waiting: for a slot, a connection, a place in a queue, or for nothing at all."""

from bench.analysis.bottleneck.seen import Seen, Verdict
from bench.analysis.limits import ceiling_of, usable_connections
from bench.model import OWN

AT_CEILING = 0.90
"""From this part of the ceiling on, the workload and not the server sets the figure."""
REFUSED = 0.01
"""Part of the requests that a full queue delayed. Each such delay is a second or more, so one in a
hundred moves the p99 from milliseconds to seconds."""
CONNECTIONS_BUSY = 0.75
"""Part of the database connections in use on average. Each pool is one process's, which cannot
lend: four pools of 20, full in turns, stood at 81 and 85% together (measured, db at c=200)."""
UNEVEN = 0.05
"""Part of the slots that stood empty while requests queued at another worker. gthread workers left
5 to 12% of theirs empty at c=200 (measured)."""
UNEXPLAINED = 0.5
"""Part of the time in a slot that neither a delay nor anybody's CPU accounts for."""

RAISE_BACKLOG = "raise BACKLOG, and net.core.somaxconn, which caps it"


def blocking(seen: Seen) -> Verdict | None:
    """Find that something holds up a whole process where it should hold up one request."""
    proof = seen.trial.verification
    if proof is None or proof.served_at_once is None:
        return None
    deployment = seen.trial.deployment
    could = min(deployment.slots or proof.requests, proof.requests)
    connections = seen.workload.connections(deployment)
    if connections is not None:
        could = min(could, connections)
    if could < 2 * deployment.processes or proof.served_at_once > deployment.processes:
        return None
    known = "database" in deployment.blocks_in
    return Verdict(
        "blocking",
        f"{'the database driver' if known else 'something'} blocks the whole process: {could}"
        f" requests could have been in service together, {proof.served_at_once} were seen",
        "patch psycopg2 with psycogreen, before it is first used"
        if known
        else "find the call that does not yield to gevent: a C library, a file, a lock",
    )


def reached_ceiling(seen: Seen) -> Verdict | None:
    """Find that arithmetic allows no more: concurrency, slots or the pool are used up."""
    limit = ceiling_of(seen.trial.deployment, seen.trial.load, seen.workload)
    if limit is None:
        return None
    share = seen.rate / limit.requests_per_second
    if share < AT_CEILING:
        return None
    name, remedy = {
        "concurrency": (
            "ceiling",
            "this load does not tell servers apart: raise CONCURRENCY, or use WORKLOAD=busy",
        ),
        "slots": ("slots", _more_slots(seen)),
        "pool": ("pool", "raise DB_POOL_SIZE, and the database's max_connections with it"),
    }[limit.bound_by]
    return Verdict(
        name, f"{share:.0%} of what arithmetic allows: {limit.explanation}", remedy, True
    )


def accept_queue(seen: Seen) -> Verdict | None:
    """Find that the server accepts too slowly for the length of its queue."""
    late = seen.detail("slow_connects")
    refused = seen.counter("ListenOverflows")
    few = REFUSED * seen.measurement.requests
    role = _front(seen)
    # With the counter at hand, late connections without refusals have another cause. And without
    # late connections the last packet of the handshake was refused: the client believes that it is
    # connected, and the delay shows up in its waiting.
    connected_late = late >= max(1.0, few) and (refused or not seen.knows("ListenOverflows"))
    if not connected_late and not (refused >= max(1.0, few) and _full(seen, role)):
        return None
    facts = []
    if late:
        facts.append(
            f"{late:,.0f} of {seen.measurement.requests:,} requests needed a second or more to"
            f" connect{_waves(seen)}"
        )
    if refused:
        facts.append(f"the kernel refused {refused:,.0f} handshakes at a full queue")
    backlog = seen.trial.deployment.backlog
    return Verdict(
        "accept queue",
        "; ".join(facts) + _queue(seen, role),
        f"{RAISE_BACKLOG} (BACKLOG was {backlog})"
        if backlog is not None
        else "this server's queue cannot be set: use another one, or put nginx in front",
    )


def upstream_queue(seen: Seen) -> Verdict | None:
    """Find that the kernel refuses at a queue behind the one that the clients are in."""
    refused = seen.counter("ListenOverflows")
    if refused < max(1.0, REFUSED * seen.measurement.requests):
        return None
    limits = {"api": "upstream", "postgres": "database", "server": "accept queue"}
    behind = (role for role in limits if role != _front(seen) and _full(seen, role))
    if (role := next(behind, None)) is None:
        return None
    return Verdict(
        limits[role],
        f"the kernel refused {refused:,.0f} handshakes at a full queue, and not at the clients':"
        f" {seen.detail('slow_connects'):,.0f} of them needed a second or more to connect"
        f"{_queue(seen, role)}",
        f"{RAISE_BACKLOG}, of this role: {role}; or keep more connections to it open",
    )


def database_connections(seen: Seen) -> Verdict | None:
    """Find most connections in use all the time, by Little's law (L = rate × time held)."""
    connections = usable_connections(seen.trial.deployment, seen.workload)
    delay = seen.workload.delay or 0.0
    held = delay * seen.workload.database_share
    # The lone first request, and what the first of the others did before they came to the pool.
    idle = seen.trial.load.lone_requests * delay + delay - held
    if connections is None or not held or seen.seconds <= idle:
        return None
    busy = seen.measurement.requests * held / (seen.seconds - idle)
    if busy < CONNECTIONS_BUSY * connections:
        return None
    return Verdict(
        "database",
        f"{busy:.0f} of {connections} connections were in use on average, each {held:g} s per"
        f" request, and none of {seen.trial.deployment.processes} process(es) can use another's",
        "raise DB_POOL_SIZE and max_connections, or let PgBouncer share them among processes",
    )


def uneven_workers(seen: Seen) -> Verdict | None:
    """Find that requests queue at one worker while another has free slots."""
    deployment = seen.trial.deployment
    each = deployment.threads
    held = seen.of_workers("server", "connections")
    if not each or deployment.processes == 1 or len(held) < deployment.processes:
        return None
    queued = sum(max(0.0, count - each) for count in held)
    idle = sum(max(0.0, each - count) for count in held)
    if min(queued, idle) < UNEVEN * each * deployment.processes:
        return None
    return Verdict(
        "uneven workers",
        f"the workers held {', '.join(f'{count:.0f}' for count in held)} connections on average,"
        f" with {each} threads each: {min(queued, idle):.0f} requests queued at one while threads"
        " of another were free",
        "raise THREADS above CONCURRENCY / WORKERS, or use gevent: a worker accepts more than it"
        " has threads for",
    )


def waiting(seen: Seen) -> Verdict | None:
    """Find that a user's own app waits for something else, by Little's law (L = rate × time)."""
    if seen.workload.name != OWN or seen.machine_busy() is None:
        return None
    if seen.trial.deployment.server == "werkzeug":
        return None  # it waits by itself
    taken = seen.at_once / seen.rate
    computing = seen.all_roles() / seen.rate
    if taken - computing < UNEXPLAINED * taken:
        return None
    facts = (
        f"{seen.at_once} requests at once, {seen.rate:,.1f} per second: each took {taken:.3g} s,"
        f" for {computing * 1000:.1f} ms of which somebody on this machine computed"
    )
    if seen.at_once < seen.trial.load.concurrency:
        return Verdict("slots", f"{facts}; the others waited for a slot", _more_slots(seen))
    return Verdict(
        "waiting",
        facts,
        "no server makes this faster: look at what the app waits for (a database, another service,"
        " a lock); raise CONCURRENCY to see what the server could do",
    )


def own_pauses(seen: Seen) -> Verdict | None:
    """Find all slots taken while nobody computes: the server waits on itself."""
    slots = seen.trial.deployment.slots
    busy = seen.machine_busy()
    if slots is None or slots > seen.trial.load.concurrency or busy is None:
        return None
    taken = slots / seen.rate
    computing = seen.all_roles() / seen.rate
    rest = taken - (seen.workload.delay or 0.0) - computing
    if rest < UNEXPLAINED * taken:
        return None
    werkzeug = (
        ": Werkzeug waits up to 10 ms at the end of each connection for what may still come"
        if seen.trial.deployment.server == "werkzeug"
        else ""
    )
    return Verdict(
        "own pauses",
        f"each request had its slot for {taken * 1000:.1f} ms, for {computing * 1000:.1f} ms of"
        f" which somebody computed, the client included; {1 - busy:.0%} of all cores were idle"
        f"{werkzeug}",
        "use a production server" if werkzeug else "look for timers, locks and sleeps in it",
    )


def _more_slots(seen: Seen) -> str:
    deployment = seen.trial.deployment
    settings = {
        "THREADS": deployment.threads,
        "ASYNC_CORES": deployment.async_cores,
        "WORKERS": deployment.workers,
    }
    names = " or ".join(name for name, value in settings.items() if value)
    return f"raise {names}" if names else "use a server that holds more than one request at once"


def _front(seen: Seen) -> str:
    """Return the role that the clients connect to."""
    return "nginx" if "nginx" in seen.trial.usage else "server"


def _full(seen: Seen, role: str) -> bool:
    return seen.knows(f"{role}.backlog") and seen.counter(f"{role}.accept_queue") >= seen.counter(
        f"{role}.backlog"
    )


def _queue(seen: Seen, role: str) -> str:
    if not seen.knows(f"{role}.backlog"):
        return ""
    most, backlog = (seen.counter(f"{role}.{name}") for name in ("accept_queue", "backlog"))
    return f"; at most {most:.0f} were seen in the queue of {backlog:.0f} (role: {role})"


def _waves(seen: Seen) -> str:
    """Say after how many seconds they connected: when the kernel repeats the first packet."""
    prefix = "slow_connects_after_"
    found = [
        (int(name.removeprefix(prefix).removesuffix("s")), seen.detail(name))
        for name in seen.measurement.details
        if name.startswith(prefix)
    ]
    text = ", ".join(f"{count:,.0f} after {seconds} s" for seconds, count in sorted(found))
    return f" ({text})" if text else ""
