"""The canary: a fixed piece of computing whose time tells how fast the machine is just now."""

import time

ROUNDS = 550_000
"""About 50 ms on a core of the 2020s: long beside a scheduler's slice, short beside a trial."""


def spin() -> float:
    """Compute for a fixed number of rounds on one thread; return the seconds of wall time.

    Wall and not CPU time, so that it also counts the time in which somebody else had the core.
    """
    began = time.perf_counter()
    value = 1
    for _ in range(ROUNDS):
        value = value * 1103515245 + 12345 & 0x7FFFFFFF
    return time.perf_counter() - began
