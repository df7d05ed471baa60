"""The last rule: what limited a trial is not known, and this is what it was not."""

from bench.analysis.bottleneck.seen import Seen, Verdict
from bench.analysis.limits import ceiling_of


def unknown(seen: Seen) -> Verdict:
    """Say what was ruled out, and by which figures."""
    if "server" not in seen.trial.usage:
        return Verdict(
            "not known",
            "what the server used was not sampled",
            "look at its own CPU, or measure the deployment with RUNNER=local or RUNNER=compose",
        )
    limit = ceiling_of(seen.trial.deployment, seen.trial.load, seen.workload)
    ruled_out = [
        f"{seen.rate / limit.requests_per_second:.0%} of the ceiling" if limit else "",
        f"cores used: {seen.shares() or 'unknown'}",
    ]
    if (busy := seen.machine_busy()) is not None:
        ruled_out.append(f"{busy:.0%} of {seen.cores} cores busy")
    if seen.knows("ListenOverflows"):
        ruled_out.append(f"{seen.counter('ListenOverflows'):.0f} handshakes refused")
    if seen.knows("server.accept_queue"):
        ruled_out.append(f"at most {seen.counter('server.accept_queue'):.0f} connections waiting")
    return Verdict(
        "not known",
        f"nothing was used up: {'; '.join(filter(None, ruled_out))}",
        "repeat it with more ROUNDS; then look for locks, timers and retries in the server's log",
    )
