"""The requests of a scenario as the parts of one trial; a workload of one request has one part."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.errors import TrialError
from bench.model import Ask, Load, Measurement, Target, Verification, Workload


def part_of(share: float, concurrency: int) -> int:
    """Return how many of the clients a request of a scenario has: at least two, if there are."""
    return max(min(2, concurrency), round(share * concurrency))


def together(each: Sequence[Verification]) -> Verification:
    """Return what was proved of all requests of a scenario; of one, that."""
    if len(each) == 1:
        return each[0]
    return Verification(
        requests=sum(one.requests for one in each),
        delay=None,
        body_bytes=each[0].body_bytes,
        fastest=min(one.fastest for one in each),
        served_at_once=None,
        bodies_vary=any(one.bodies_vary for one in each),
    )


def asks_of(target: Target, workload: Workload, each: Sequence[Verification]) -> tuple[Ask, ...]:
    """Return what the load generator is to send, and what was proved to be right answers."""
    return tuple(
        Ask(
            target.url + part.url_path(),
            part.request,
            weight=share,
            status=part.status,
            body=part.body,
            body_bytes=verification.body_bytes,
            bodies_vary=verification.bodies_vary,
        )
        for (share, part), verification in zip(workload.parts(), each, strict=True)
    )


@contextmanager
def named(part: Workload, workload: Workload) -> Iterator[None]:
    """Say of which request of a scenario an error is."""
    try:
        yield
    except TrialError as error:
        if not workload.mix:
            raise
        raise TrialError(f"{part.request_text()}: {error}") from error


def failed_of(workload: Workload, measurement: Measurement) -> str:
    """Return how many of each request of a scenario failed, of those of which some did."""
    return ", ".join(
        f"{request.text()}: {seen.failed} of {seen.requests}"
        for request, seen in zip(workload.mix, measurement.mix, strict=False)
        if seen.failed
    )


def never_sent(workload: Workload, load: Load, measurement: Measurement) -> str | None:
    """Return why a scenario's load must not be ranked: a request of it had no turn within it."""
    for (share, request), seen in zip(workload.shares(), measurement.mix, strict=False):
        if not seen.requests:
            within = "" if load.duration is None else f" within {load.duration:g} s"
            enough = max(load.concurrency, math.ceil(1 / share))
            return (
                f"{request.text()}, {share:.2g} of all, was never sent{within}: set a longer"
                f" DURATION, or REQUESTS={enough} or more"
            )
    return None
