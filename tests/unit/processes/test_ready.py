from collections.abc import Iterator, Sequence
from typing import cast

import pytest

from bench.errors import TrialError, WrongAnswerError
from bench.processes.process import ServerProcess
from bench.processes.ready import FIRST_PAUSE, LAST_PAUSE, wait_until_ready


class FakeTime:
    """A clock that only sleeping moves on."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class FakeProcess:
    """A server that dies after so many looks at it."""

    name = "fake"

    def __init__(self, looks: int = 10**9) -> None:
        self.looks = looks

    def check_running(self) -> None:
        self.looks -= 1
        if self.looks < 0:
            raise TrialError("fake exited with status 1")

    def describe_log(self) -> str:
        return "the end of its log (fake.log):\nlast words"


def wait(
    answers: Iterator[str | None], time: FakeTime, process: FakeProcess, deadline: float
) -> None:
    wait_until_ready(
        lambda: next(answers),
        cast("Sequence[ServerProcess]", [process]),
        deadline=deadline,
        what="the server",
        clock=time.clock,
        sleep=time.sleep,
    )


def test_it_returns_at_the_first_good_answer() -> None:
    time = FakeTime()

    wait(iter(["refused", "refused", None]), time, FakeProcess(), 10)

    assert len(time.pauses) == 2


def test_it_asks_often_at_first_and_never_rarely() -> None:
    time = FakeTime()

    wait(iter(["refused"] * 30 + [None]), time, FakeProcess(), 10)

    assert time.pauses[0] == FIRST_PAUSE
    assert time.pauses == sorted(time.pauses)
    assert time.pauses[-1] == LAST_PAUSE


def test_the_deadline_tells_the_last_reason_and_the_log() -> None:
    time = FakeTime()
    answers = iter(["refused"] * 5 + ["answered 500"] * 1000)

    with pytest.raises(TrialError) as caught:
        wait(answers, time, FakeProcess(), 2)

    assert "the server was not ready within 2 s: answered 500" in str(caught.value)
    assert "last words" in str(caught.value)
    assert 2 <= time.now - 100 < 2 + 2 * LAST_PAUSE


def test_an_early_exit_ends_the_wait_at_once() -> None:
    time = FakeTime()

    with pytest.raises(TrialError, match="exited with status 1"):
        wait(iter(["refused"] * 1000), time, FakeProcess(looks=3), 60)

    assert len(time.pauses) == 3


def test_an_answer_does_not_count_if_the_server_itself_is_dead() -> None:
    with pytest.raises(TrialError, match="exited"):
        wait(iter([None]), FakeTime(), FakeProcess(looks=1), 60)


def test_an_answer_that_waiting_will_not_change_ends_it_with_the_log() -> None:
    time = FakeTime()

    def answers() -> Iterator[str | None]:
        yield "refused"
        raise WrongAnswerError("status 500 instead of 200")

    with pytest.raises(TrialError, match="status 500 instead of 200") as error:
        wait(answers(), time, FakeProcess(), deadline=30)
    assert "last words" in str(error.value)
    assert time.now < 101
