"""Brings an event about, and waits until it is over."""

import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from bench.drain.model import Happened
from bench.drain.ways import Step, Way
from bench.errors import TrialError
from bench.model import Target
from bench.processes.family import is_alive

OVER_WITHIN = 90.0
"""Seconds; above the 45 that the servers themselves allow for a graceful stop."""
STEADY_FOR = 0.5
"""Seconds for which the number of workers has to stay: uWSGI starts one when another has ended."""
POLL = 0.05
"""Seconds; each look at the workers reads the whole process table."""

Workers = frozenset[psutil.Process]


def workers_of(root: int) -> Workers:
    """Return the processes of a server that serve: those without children of their own."""
    process = psutil.Process(root)
    with suppress(psutil.NoSuchProcess):
        family = [process, *process.children(recursive=True)]
        parents = {each.ppid() for each in family if is_alive(each)}
        return frozenset(p for p in family if p.pid not in parents and is_alive(p))
    return frozenset()


def stop(target: Target, way: Way) -> Happened:
    """Stop one role after the other.

    Raises:
        TrialError: one does not end.

    """
    roots = {role: psutil.Process(target.roles[role][0]) for role in _roles(way)}
    began = time.monotonic()
    for step in way.steps:
        _end(roots[step.role], step)
    return Happened(began, time.monotonic(), still_up=False)


def _end(root: psutil.Process, step: Step) -> None:
    root.send_signal(step.signal)
    _wait_until(lambda: not is_alive(root), f"the {step.role} has not stopped")


def reload(target: Target, way: Way) -> Happened:
    """Reload the roles, one after the other, until none of the old workers is left.

    Raises:
        TrialError: that does not happen.

    """
    began = ended = time.monotonic()
    for step in way.steps:
        ended = _reload(target.roles[step.role][0], step)
    return Happened(began, ended, still_up=True)


def _reload(root: int, step: Step) -> float:
    before = workers_of(root)
    psutil.Process(root).send_signal(step.signal)
    _wait_until(
        lambda: not any(map(is_alive, before)), f"old workers of the {step.role} are still there"
    )
    return _wait_for_workers(root, len(before))


def kill(target: Target, chooser: random.Random) -> Happened:
    """Kill one of the processes that serve, and wait until another has taken its place.

    It is held up first, so that it can be counted what it holds.

    Raises:
        TrialError: nobody takes its place.

    """
    root = target.roles["server"][0]
    before = workers_of(root)
    victim = chooser.choice(sorted(before, key=lambda process: process.pid))
    alone = victim.pid == root
    began = time.monotonic()
    victim.suspend()
    own = _connections(victim)
    victim.send_signal(signal.SIGKILL)
    _wait_until(lambda: not is_alive(victim), "a killed process is still there")
    if alone:  # it takes its listener with it: what is lost is not bounded by what it held
        return Happened(began, time.monotonic(), still_up=False)
    return Happened(began, _wait_for_workers(root, len(before)), still_up=True, own=own)


def recycle(target: Target) -> Happened:
    """Wait until as many workers as there were have ended and been replaced, by the load alone.

    Raises:
        TrialError: that does not happen.

    """
    began = time.monotonic()
    root = target.roles["server"][0]
    known = workers_of(root)
    everybody: set[psutil.Process] = set(known)

    def replaced() -> bool:
        everybody.update(workers_of(root))
        return sum(not is_alive(each) for each in everybody) >= len(known)

    _wait_until(replaced, "workers have not been recycled")
    return Happened(began, _wait_for_workers(root, len(known)), still_up=True)


def _wait_for_workers(root: int, count: int) -> float:
    """Wait until there are so many workers again, and stay; return since when there are."""
    missing = time.monotonic()

    def back() -> bool:
        nonlocal missing
        if len(workers_of(root)) < count:
            missing = time.monotonic()
        return time.monotonic() - missing >= STEADY_FOR

    _wait_until(back, f"there are no {count} workers again")
    return missing


def _connections(process: psutil.Process) -> int:
    """Return how many connections of clients a process holds: those to where it listens."""
    connections = process.net_connections("tcp")
    listening = {c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN}
    return sum(
        c.status != psutil.CONN_LISTEN and bool(c.laddr) and c.laddr.port in listening
        for c in connections
    )


def _roles(way: Way) -> set[str]:
    return {step.role for step in way.steps}


def _wait_until(condition: Callable[[], bool], otherwise: str) -> None:
    until = time.monotonic() + OVER_WITHIN
    while not condition():
        if time.monotonic() > until:
            raise TrialError(f"{otherwise}, {OVER_WITHIN:g} s after the signal")
        time.sleep(POLL)
