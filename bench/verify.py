"""Whether the answer is right, and how many requests are really served at once."""

import asyncio
import http.client
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
import yarl

from bench.errors import TrialError, WrongAnswerError
from bench.load.http_messages import headers_as_ab_does
from bench.model import Request, Target, Verification, Workload

BURST_LIMIT = 200
"""Requests in the burst: enough to start every thread of the catalog's deployments."""
BURST_SECONDS = 0.5
"""What the burst should take if the deployment holds what it should; bounds a trial's overhead."""
LONGEST_DELAY = 0.4
SHORTEST_DELAY = 0.05
ANSWER_WITHIN = 30.0
SETTLED = 0.15
"""Part by which two bursts may differ; single bursts of 200 vary by about a tenth on a quiet
machine."""
FINAL = frozenset({*range(300, 500), 500}) - {408, 421, 425, 429}
"""Statuses that come from the app itself; 502 to 504 come from what waits for it."""
LONE_PAUSES = (0.0, 0.0, 0.0, 0.6, 0.6)
"""Seconds before each request of those that show whether bodies differ: over more than a second,
for a clock in them may show no less."""
TIMER_SLACK = 0.98
"""A timer may fire a little early; this part of a delay must have passed in any case."""


@dataclass(frozen=True)
class Answer:
    """One response, and when it came."""

    status: int
    body: bytes
    began: float
    ended: float
    location: str | None = None
    """Where a redirect leads."""


@dataclass(frozen=True)
class Burst:
    """So many requests at once, each asked to wait for so long."""

    requests: int
    delay: float | None
    stage: float
    """Seconds that a request holds what is scarce: the API call, or the database connection."""


def plan_burst(workload: Workload, *, concurrency: int, at_once: int | None) -> Burst:
    """Size the burst so that it shows the bound, yet takes about `BURST_SECONDS`.

    Args:
        workload: says how long a request waits, and for what.
        concurrency: of the load to come.
        at_once: how many the deployment is expected to serve together; ``None``: no bound.

    """
    expected = min(at_once or BURST_LIMIT, BURST_LIMIT)
    requests = min(concurrency, 4 * expected, BURST_LIMIT)
    if workload.delay is None:
        return Burst(requests, None, 0.0)
    share = workload.database_share or 1.0
    waves = math.ceil(requests / expected)
    delay = BURST_SECONDS / (1 - share + share * waves)
    delay = round(min(max(delay, SHORTEST_DELAY), LONGEST_DELAY), 3)
    return Burst(requests, delay, share * delay)


def verify(target: Target, workload: Workload, burst: Burst) -> Verification:
    """Send the burst, check every answer, and count how many were served together.

    Where the workload does not say what a right body is, the first answer does. Threads,
    connections and pools exist afterwards.

    Raises:
        TrialError: an answer was wrong, came too early or not at all.

    """
    path = workload.url_path(burst.delay)
    answers = asyncio.run(_send(target, path, workload.request, burst.requests))
    body = answers[0].body if workload.body is None else workload.body.encode()
    vary = workload.bodies_vary or (
        workload.body is None and differ_by_themselves(target, workload, path, answers)
    )
    for answer in answers:
        if problem := wrong(answer, None if vary else body, burst.delay, workload.status):
            raise TrialError(f"verification failed: {problem}")
    return Verification(
        requests=len(answers),
        delay=burst.delay,
        body_bytes=len(body),
        fastest=min(a.ended - a.began for a in answers),
        served_at_once=served_at_once(answers, burst),
        bodies_vary=vary,
    )


def differ_by_themselves(
    target: Target, workload: Workload, path: str, answers: Sequence[Answer]
) -> bool:
    """Return whether right bodies differ, as with a time of day or a token in them.

    If so, requests that are sent one after the other get different ones, too. Where those are all
    the same, what is different in a burst is wrong.
    """
    if len({answer.body for answer in answers}) == 1:
        return False
    alone = set()
    for pause in LONE_PAUSES:
        time.sleep(pause)
        alone |= {each.body for each in asyncio.run(_send(target, path, workload.request, 1))}
    return len(alone) > 1


def warm_up(target: Target, workload: Workload, *, concurrency: int, limit: float) -> int:
    """Send bursts without a delay until their duration has settled, and return how many.

    The first requests of a process pay for imports, threads, connections and caches. Settled
    means: two bursts in a row within `SETTLED` of each other.

    Args:
        target: has been verified.
        workload: its path is used, with no delay where it takes one.
        concurrency: of the load to come; the bursts are as large, up to `BURST_LIMIT`.
        limit: seconds after which no further burst is sent.

    Raises:
        TrialError: an answer was wrong.

    """
    path = workload.url_path(0.0 if workload.delay is not None else None)
    body = workload.body.encode() if workload.body is not None else None
    began = time.monotonic()
    last, count = math.inf, 0
    while True:
        burst = _send(target, path, workload.request, min(concurrency, BURST_LIMIT))
        answers = asyncio.run(burst)
        count += 1
        for answer in answers:
            if problem := wrong(answer, body, None, workload.status):
                raise TrialError(f"warm-up failed: {problem}")
        took = max(a.ended for a in answers) - min(a.began for a in answers)
        if abs(took - last) <= SETTLED * took or time.monotonic() - began + took > limit:
            return count
        last = took


def wrong(
    answer: Answer, body: bytes | None, delay: float | None, status: int | None = None
) -> str | None:
    """Return what is wrong with an answer, or ``None``."""
    if answer.location is not None and answer.status // 100 == HTTPStatus.MULTIPLE_CHOICES // 100:
        return (
            f"status {answer.status}: it redirects to {answer.location}. Load that path instead"
            " (URL_PATH), or one that answers by itself"
        )
    right = answer.status // 100 == HTTPStatus.OK // 100 and status in {None, answer.status}
    if not right:
        return f"status {answer.status} instead of {status or 200}: {answer.body[:300]!r}"
    if body is not None and answer.body != body:
        return f"the body is {answer.body[:100]!r} instead of {body[:100]!r}"
    took = answer.ended - answer.began
    if delay is not None and took < delay * TIMER_SLACK:
        return f"the answer came after {took:.3f} s although it was to wait for {delay:g} s"
    return None


def served_at_once(answers: Sequence[Answer], burst: Burst) -> int | None:
    """Return how many requests were in service together at least; ``None`` if nothing waits.

    Each request holds what is scarce for one stage. So many stages in so much time overlap, on
    average, ``answers × stage / time`` times, and their peak is no lower than their average. No
    luck can raise this bound; a server that takes one request at a time shows exactly one.
    """
    if not burst.delay:
        return None
    first_stage = min(a.began for a in answers) + burst.delay - burst.stage
    time_taken = max(a.ended for a in answers) - first_stage
    return math.ceil(len(answers) * burst.stage * TIMER_SLACK / time_taken)


def readiness(target: Target, workload: Workload) -> str | None:
    """Return why the target is not ready: not a right answer yet. ``None``: it is.

    Asks for the workload's own path without a delay, so that ready means ready for this.

    Raises:
        WrongAnswerError: it has answered, and will not answer otherwise by waiting.

    """
    path = workload.url_path(0.0 if workload.delay is not None else None)
    connection = http.client.HTTPConnection(target.host, target.port, timeout=ANSWER_WITHIN)
    began = time.monotonic()
    try:
        asked = workload.request
        body_sent = None if asked.body is None else asked.body.encode()
        headers = headers_as_ab_does(asked.headers, asked.body)
        connection.request(asked.method, path, body_sent, headers)
        response = connection.getresponse()
        answer = Answer(
            response.status,
            response.read(),
            began,
            time.monotonic(),
            response.getheader("Location"),
        )
    except (OSError, http.client.HTTPException) as error:
        return f"{target.url}{path}: {error or type(error).__name__}"
    finally:
        connection.close()
    body = workload.body.encode() if workload.body is not None else None
    problem = wrong(answer, body, None, workload.status)
    if problem and answer.status in FINAL:
        raise WrongAnswerError(f"{target.url}{path}: {problem}")
    return problem and f"{target.url}{path}: {problem}"


async def _send(target: Target, path: str, request: Request, count: int) -> list[Answer]:
    """Send so many requests at once, each over a connection of its own, as ab does."""
    sent = None if request.body is None else request.body.encode()
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN),
        skip_auto_headers=["Accept-Encoding", "Content-Type"],
        version=aiohttp.HttpVersion10,
        auto_decompress=False,  # readiness and the load judge the bytes as they come, too
    )
    url = yarl.URL(target.url + path, encoded=True)  # as it is: the load does not mend it either
    async with session:

        async def one() -> Answer:
            began = time.monotonic()
            async with session.request(
                request.method,
                url,
                headers=headers_as_ab_does(request.headers, request.body),
                data=sent,
                allow_redirects=False,
            ) as response:
                body = await response.read()
                location = response.headers.get("Location")
            return Answer(response.status, body, began, time.monotonic(), location)

        answers = await asyncio.gather(*(one() for _ in range(count)), return_exceptions=True)
    failed = [a for a in answers if isinstance(a, BaseException)]
    if failed:
        raise TrialError(
            f"verification failed: {len(failed)} of {count} requests at once got no answer:"
            f" {failed[0] or type(failed[0]).__name__}"
        )
    return [a for a in answers if isinstance(a, Answer)]
