import gzip
import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import TrialError
from bench.load.http_messages import headers_as_ab_does
from bench.model import Request, Target, Verification
from bench.verify import (
    BURST_LIMIT,
    BURST_SECONDS,
    LONGEST_DELAY,
    SHORTEST_DELAY,
    Answer,
    Burst,
    plan_burst,
    readiness,
    served_at_once,
    verify,
    warm_up,
    wrong,
)
from tests.unit.factories import a_database_workload, a_workload

BODY = b"answered by the API\n"
HELLO = a_workload("hello", path="/hello", delay=None, body="hello\n", uses=())


def an_answer(seconds: float = 1.0, status: int = 200, body: bytes = BODY) -> Answer:
    return Answer(status, body, 10.0, 10.0 + seconds)


class TestWrong:
    def test_a_right_answer(self) -> None:
        assert wrong(an_answer(), BODY, 1.0) is None

    @pytest.mark.parametrize("status", [100, 302, 404, 500, 503])
    def test_another_status_is_shown_with_its_body(self, status: int) -> None:
        problem = wrong(an_answer(status=status, body=b"sorry"), b"sorry", 1.0)
        assert problem == f"status {status} instead of 200: b'sorry'"

    @pytest.mark.parametrize("body", [b"", BODY[:-1], BODY + b" ", BODY.upper()])
    def test_another_body_is_wrong_to_the_byte(self, body: bytes) -> None:
        problem = wrong(an_answer(body=body), BODY, 1.0)
        assert problem == f"the body is {body!r} instead of {BODY!r}"

    def test_a_long_body_is_cut(self) -> None:
        assert len(wrong(an_answer(body=b"x" * 10_000), BODY, 1.0) or "") < 300
        assert len(wrong(an_answer(body=b"x" * 10_000, status=500), BODY, 1.0) or "") < 400

    def test_any_body_where_none_is_known(self) -> None:
        assert wrong(an_answer(body=b"whatever"), None, 1.0) is None

    @pytest.mark.parametrize(
        ("took", "early"), [(0.5, True), (0.97, True), (0.981, False), (1.0, False), (5.0, False)]
    )
    def test_an_answer_before_its_time_is_wrong(self, took: float, early: bool) -> None:
        problem = wrong(an_answer(took), BODY, 1.0)
        assert (problem is not None) == early
        if problem:
            assert problem == f"the answer came after {took:.3f} s although it was to wait for 1 s"

    def test_without_a_delay_none_is_too_early(self) -> None:
        assert wrong(an_answer(0.0), BODY, None) is None


def simulated(
    begins: list[float], slots: int, burst: Burst, extra: Callable[[int], float] = lambda _: 0.0
) -> list[Answer]:
    """Serve requests that wait elsewhere first, then hold one of so many slots for a stage."""
    free = [0.0] * slots
    answers = []
    lead = (burst.delay or 0.0) - burst.stage
    for index, began in enumerate(sorted(begins)):
        start = max(began + lead, heapq.heappop(free))
        ended = start + burst.stage + extra(index)
        heapq.heappush(free, ended)
        answers.append(Answer(200, BODY, began, ended))
    return answers


class TestServedAtOnce:
    @pytest.mark.parametrize(
        ("requests", "slots", "stage", "expected"),
        [
            (200, 200, 0.5, 196),  # one wave: the slack of the timer is taken off
            (200, 1, 0.5, 1),
            (200, 4, 0.5, 4),
            (5, 1, 0.5, 1),
            (8, 3, 0.5, 3),  # 3 + 3 + 2: 2.67 on average, so 3 at some time
            (1, 9, 0.5, 1),
            (20, 4, 0.25, 4),  # half of the delay is spent elsewhere
            (20, 1, 0.25, 1),
        ],
    )
    def test_worked_examples(self, requests: int, slots: int, stage: float, expected: int) -> None:
        burst = Burst(requests, 0.5, stage)
        assert served_at_once(simulated([3.0] * requests, slots, burst), burst) == expected

    @pytest.mark.parametrize("delay", [None, 0.0])
    def test_without_a_delay_nothing_shows_it(self, delay: float | None) -> None:
        assert served_at_once([an_answer()], Burst(1, delay, 0.0)) is None

    def test_a_slow_answer_lowers_the_bound_and_never_raises_it(self) -> None:
        burst = Burst(10, 0.5, 0.5)
        prompt = simulated([0.0] * 10, 10, burst)
        late = [*prompt[:-1], Answer(200, BODY, 0.0, 1.0)]
        assert served_at_once(prompt, burst) == 10
        assert served_at_once(late, burst) == 5

    @given(
        begins=st.lists(st.floats(0, 0.2), min_size=1, max_size=60),
        slots=st.integers(1, 40),
        delay=st.floats(0.05, 0.5),
        share=st.floats(0.1, 1.0),
        extra=st.integers(0, 5),
        jitter=st.floats(0, 0.3),
    )
    def test_it_is_never_above_what_is_really_served_together(
        self,
        begins: list[float],
        slots: int,
        delay: float,
        share: float,
        extra: int,
        jitter: float,
    ) -> None:
        burst = Burst(len(begins), delay, share * delay)
        answers = simulated(begins, slots, burst, lambda i: jitter if i % 6 < extra else 0.0)
        found = served_at_once(answers, burst)
        assert found is not None
        assert 1 <= found <= min(slots, len(begins))


class TestPlanBurst:
    def test_a_server_without_a_bound_gets_one_wave(self) -> None:
        burst = plan_burst(a_workload(), concurrency=1000, at_once=None)
        assert burst == Burst(BURST_LIMIT, LONGEST_DELAY, LONGEST_DELAY)

    @pytest.mark.parametrize(("at_once", "requests"), [(1, 4), (4, 16), (30, 120), (8000, 200)])
    def test_it_is_larger_than_what_is_expected(self, at_once: int, requests: int) -> None:
        assert plan_burst(a_workload(), concurrency=200, at_once=at_once).requests == requests

    @given(st.integers(1, 5000), st.none() | st.integers(1, 5000), st.floats(0, 1))
    def test_its_bounds(self, concurrency: int, at_once: int | None, share: float) -> None:
        workload = a_database_workload(database_share=share)
        burst = plan_burst(workload, concurrency=concurrency, at_once=at_once)
        assert 1 <= burst.requests <= min(concurrency, BURST_LIMIT)
        assert burst.delay is not None
        assert SHORTEST_DELAY <= burst.delay <= LONGEST_DELAY
        assert 0 <= burst.stage <= burst.delay
        waves = -(-burst.requests // min(at_once or BURST_LIMIT, BURST_LIMIT))
        expected = burst.delay - burst.stage + waves * burst.stage
        assert expected <= BURST_SECONDS * 1.05

    def test_without_a_delay(self) -> None:
        assert plan_burst(HELLO, concurrency=50, at_once=None) == Burst(50, None, 0.0)


class App(BaseHTTPRequestHandler):
    """Waits as it is asked to, and answers what the test has set."""

    status = 200
    body = BODY
    hurry = 1.0
    cut = False
    encoding = "identity"

    def do_GET(self) -> None:
        _, _, delay = self.path.partition("delay=")
        time.sleep(float(delay or 0) * self.hurry)
        body = self.body
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body) + self.cut))
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Encoding", self.encoding)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


class Threads(ThreadingHTTPServer):
    request_queue_size = 512


class OneByOne(HTTPServer):
    request_queue_size = 512


@contextmanager
def serving(kind: type[HTTPServer] = Threads, **behaviour: object) -> Iterator[Target]:
    handler = type("Handler", (App,), behaviour)
    with kind(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Target("127.0.0.1", server.server_port)
        finally:
            server.shutdown()
            thread.join()


class TestVerify:
    BURST = Burst(8, 0.3, 0.3)

    def test_a_server_that_serves_all_at_once(self) -> None:
        with serving() as target:
            proof = verify(target, a_workload(), self.BURST)
        assert isinstance(proof, Verification)
        assert proof.requests == 8
        assert proof.body_bytes == len(BODY)
        assert proof.fastest >= 0.3
        assert proof.served_at_once is not None
        assert 4 <= proof.served_at_once <= 8

    def test_a_server_that_serves_one_is_seen_to(self) -> None:
        with serving(OneByOne) as target:
            assert verify(target, a_workload(), Burst(5, 0.05, 0.05)).served_at_once == 1

    def test_the_body_is_learned_where_it_is_not_known(self) -> None:
        with serving(body=b"my own") as target:
            proof = verify(target, a_workload(body=None), self.BURST)
        assert proof.body_bytes == 6
        assert not proof.bodies_vary

    def test_a_compressed_body_is_judged_as_it_comes_and_as_the_load_does(self) -> None:
        packed = gzip.compress(b"my own" * 100)
        with serving(body=packed, encoding="gzip") as target:
            workload = a_workload(body=None, request=Request(headers={"Accept-Encoding": "gzip"}))
            assert verify(target, workload, self.BURST).body_bytes == len(packed)
            assert readiness(target, workload) is None

    def test_the_path_is_sent_as_it_is(self) -> None:
        asked: list[str] = []
        path = "/%7Eme/a%2Fb?x=%41+%7B"

        def noted(handler: App) -> bytes:
            asked.append(handler.path)
            return BODY

        with serving(body=property(noted)) as target:
            verify(target, a_workload(path=path, delay=None), Burst(1, None, 0.0))
        assert asked == [path]

    def test_bodies_that_differ_by_themselves(self) -> None:
        counter = itertools.count()
        with serving(body=property(lambda _: b"number %d" % next(counter))) as target:
            assert verify(target, a_workload(body=None), self.BURST).bodies_vary
            with pytest.raises(TrialError, match="the body is"):
                verify(target, a_workload(), self.BURST)

    @pytest.mark.parametrize(
        ("behaviour", "words"),
        [
            ({"status": 502}, "verification failed: status 502 instead of 200"),
            ({"status": 302}, "verification failed: status 302: it redirects to /elsewhere"),
            ({"body": b"hello\n"}, r"verification failed: the body is b'hello\\n' instead of"),
            ({"hurry": 0.5}, r"verification failed: the answer came after 0\.\d+ s although"),
            ({"cut": True}, "verification failed: 8 of 8 requests at once got no answer"),
        ],
    )
    def test_a_wrong_answer_is_told(self, behaviour: dict[str, Any], words: str) -> None:
        with serving(**behaviour) as target, pytest.raises(TrialError, match=words):
            verify(target, a_workload(), self.BURST)

    def test_nobody_listens(self) -> None:
        with serving() as target:
            pass
        with pytest.raises(TrialError, match=r"8 of 8 requests at once got no answer: .*127"):
            verify(target, a_workload(), self.BURST)


class TestWarmUp:
    def test_it_ends_once_bursts_take_the_same_time(self) -> None:
        with serving() as target:
            assert warm_up(target, a_workload(), concurrency=5, limit=30.0) >= 2

    def test_it_ends_at_its_limit(self) -> None:
        with serving() as target:
            assert warm_up(target, a_workload(), concurrency=5, limit=0.0) == 1

    def test_a_wrong_answer_is_told(self) -> None:
        with serving(status=500) as target, pytest.raises(TrialError, match="warm-up failed: sta"):
            warm_up(target, a_workload(), concurrency=5, limit=1.0)


def test_what_is_sent_is_what_ab_sends() -> None:
    plain = {"User-Agent": "ApacheBench/2.3", "Accept": "*/*"}
    assert headers_as_ab_does({}, None) == plain
    posted = headers_as_ab_does({"user-agent": "x"}, "a=1")
    assert posted == {**plain, "User-Agent": "x", "Content-Type": "text/plain"}
    json = headers_as_ab_does({"content-type": "application/json"}, "{}")
    assert json["Content-Type"] == "application/json"


class TestReadiness:
    def test_a_right_answer_is_ready(self) -> None:
        with serving() as target:
            assert readiness(target, a_workload()) is None

    @pytest.mark.parametrize(
        ("behaviour", "words"),
        [
            ({"status": 503}, "status 503"),
            ({"body": b"x"}, "the body is b'x'"),
            ({"cut": 1}, "Inc"),
        ],
    )
    def test_a_wrong_answer_is_not(self, behaviour: dict[str, Any], words: str) -> None:
        with serving(**behaviour) as target:
            reason = readiness(target, a_workload())
        assert reason is not None
        assert reason.startswith(f"{target.url}/?delay=0: {words}")

    @pytest.mark.parametrize("status", [301, 404, 500])
    def test_what_waiting_will_not_change_ends_it(self, status: int) -> None:
        with serving(status=status) as target, pytest.raises(TrialError, match=f"status {status}"):
            readiness(target, a_workload())

    def test_no_answer_is_not(self) -> None:
        with serving() as target:
            pass
        assert "refused" in (readiness(target, HELLO) or "")
