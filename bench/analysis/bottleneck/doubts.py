"""What speaks against trusting a trial's figures: noise, and limits that were only touched."""

from collections.abc import Callable

from bench.analysis.bottleneck.seen import Seen, Verdict

CANARIES_DIFFER = 0.20
"""Chosen: on a machine with all cores busy, half of all neighbouring canaries differed by more
(measured). What a quiet machine shows has yet to be measured."""
STEAL = 0.01
"""Part of all cores that the hypervisor gave to somebody else."""
OTHERS = 0.05
"""Part of all cores that programs outside of the trial used. Chosen above what kernel threads and
the imprecision of /proc/stat amount to, which has yet to be measured on a quiet machine."""
WAITED_FOR_DISK = 0.10
"""Part of the time in which somebody waited for a disk (PSI's "some"); these loads use none."""
HARNESS = 0.04
"""Part of one core; the harness is built to need less than half of that."""


def doubts(seen: Seen, verdict: Verdict) -> tuple[str, ...]:
    """Return what there is to warn of."""
    found = (check(seen) for check in CHECKS)
    return tuple(filter(None, (*found, _refused(seen, verdict))))


def _canaries(seen: Seen) -> str:
    around = seen.trial.surroundings
    if around is None or not around.canary_before or not around.canary_after:
        return ""
    low, high = sorted((around.canary_before, around.canary_after))
    if high / low - 1 < CANARIES_DIFFER:
        return ""
    return (
        f"noise: the same computing took {around.canary_before * 1000:.0f} ms before the trial and"
        f" {around.canary_after * 1000:.0f} ms after it"
    )


def _steal(seen: Seen) -> str:
    part = seen.counter("cpu_steal_seconds") / seen.seconds / seen.cores
    return f"noise: the hypervisor took {part:.1%} of all cores" if part >= STEAL else ""


def _others(seen: Seen) -> str:
    cores = seen.others()
    if cores is None or cores < OTHERS * seen.cores:
        return ""
    return f"noise: programs outside of the trial used {cores:.2f} of {seen.cores} cores"


def _disk(seen: Seen) -> str:
    part = seen.counter("pressure_io_seconds") / seen.seconds
    return (
        f"noise: {part:.0%} of the time somebody waited for a disk"
        if part >= WAITED_FOR_DISK
        else ""
    )


def _harness(seen: Seen) -> str:
    used = seen.cores_used("harness") or 0.0
    return f"the harness itself used {used:.1%} of a core" if used >= HARNESS else ""


def _untracked(seen: Seen) -> str:
    drops = seen.counter("untracked_drops")
    if not drops:
        return ""
    return (
        f"the kernel dropped {drops:,.0f} packets, for its table of tracked connections was full:"
        " raise net.netfilter.nf_conntrack_max, or have no firewall follow these"
    )


def _cut_short(seen: Seen) -> str:
    sent, wanted = seen.detail("stopped_at_requests"), seen.trial.load.duration
    if not sent or wanted is None:
        return ""
    return (
        f"the load ended after {seen.seconds:.0f} of {wanted:g} s: {sent:,.0f} requests are the"
        " most that the load generator keeps"
    )


def _refused(seen: Seen, verdict: Verdict) -> str:
    late = seen.detail("slow_connects")
    if not late or verdict.limit == "accept queue":
        return ""
    return f"{late:,.0f} requests needed a second or more to connect"


CHECKS: tuple[Callable[[Seen], str], ...] = (
    _canaries,
    _steal,
    _others,
    _disk,
    _harness,
    _untracked,
    _cut_short,
)
