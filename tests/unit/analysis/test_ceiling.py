import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.ceiling import Ceiling, ceiling
from bench.model import Load


def found(load: Load, **how: float | int | None) -> Ceiling:
    settings: dict[str, float | int | None] = {"delay": 1.0, "slots": None} | how
    limit = ceiling(load, **settings)  # type: ignore[arg-type]
    assert limit is not None
    return limit


@pytest.mark.parametrize("delay", [0.0, None])
def test_without_a_delay_arithmetic_sets_no_limit(delay: float | None) -> None:
    assert ceiling(Load(200, requests=2000), delay=delay, slots=4) is None


@pytest.mark.parametrize(
    ("requests", "concurrency", "slots", "rate", "bound"),
    [
        (2000, 200, None, 2000 / 11, "concurrency"),
        (200, 200, 8000, 100.0, "concurrency"),
        (400, 200, 8000, 400 / 3, "concurrency"),
        (401, 200, 8000, 401 / 3, "concurrency"),
        (402, 200, 8000, 402 / 4, "concurrency"),
        (10, 5, 1, 1.0, "slots"),
        (2000, 200, 100, 2000 / 21, "slots"),
        (1, 1, 1, 1.0, "concurrency"),
    ],
)
def test_requests_go_alone_and_then_in_waves(
    requests: int, concurrency: int, slots: int | None, rate: float, bound: str
) -> None:
    limit = found(Load(concurrency, requests=requests), slots=slots)
    assert limit.requests_per_second == pytest.approx(rate)
    assert limit.bound_by == bound


@pytest.mark.parametrize(
    ("duration", "delay", "rate"),
    [
        (10, 1.0, (1 + 20 * 9) / 10),
        # A run by time ends with the next answers: 6 waves after the lone request, 2.1 s in all.
        (2, 0.3, (1 + 20 * 6) / 2.1),
        (1, 1.5, 1 / 1.5),
        # 1.1 / 0.1 is more than 11 in floating point.
        (1.1, 0.1, (1 + 20 * 10) / 1.1),
    ],
)
def test_a_run_by_time_ends_with_the_wave_that_crosses_its_end(
    duration: float, delay: float, rate: float
) -> None:
    limit = found(Load(20, duration=duration), delay=delay)
    assert limit.requests_per_second == pytest.approx(rate)


def test_a_small_pool_binds() -> None:
    limit = found(Load(5, requests=10), slots=2000, database_share=0.5, connections=1)
    assert limit.requests_per_second == pytest.approx(10 / 6)
    assert limit.bound_by == "pool"
    assert limit.explanation == (
        "ab sends one request alone first, then 9 waves of 1 that hold the pool 0.5 s: 10 / 6 s"
    )


def test_a_pool_binds_a_run_by_time() -> None:
    limit = found(Load(20, duration=10), database_share=0.5, connections=4)
    # Alone until 1 s, the others reach the pool at 1.5 s, and 17 waves of half a second follow.
    assert limit.requests_per_second == pytest.approx((1 + 17 * 4) / 10)


def test_a_run_by_time_that_ends_before_the_pool_answers_waits_for_it() -> None:
    limit = found(Load(20, duration=1.2), database_share=0.5, connections=4)
    assert limit.requests_per_second == pytest.approx((1 + 4) / 2)


@pytest.mark.parametrize("connections", [200, 500, None])
def test_a_large_pool_does_not_bind(connections: int | None) -> None:
    limit = found(Load(200, requests=2000), database_share=0.5, connections=connections)
    assert limit.requests_per_second == pytest.approx(2000 / 11)
    assert limit.bound_by == "concurrency"


def test_one_request_meets_an_empty_pool() -> None:
    limit = found(Load(1, requests=1), database_share=0.5, connections=1)
    assert limit.requests_per_second == pytest.approx(1.0)
    assert limit.explanation == "ab sends one request alone first: 1 / 1 s"


def test_the_sum_is_shown() -> None:
    assert found(Load(200, requests=2000)).explanation == (
        "ab sends one request alone first, then 10 waves of 200: 2000 / 11 s"
    )
    assert found(Load(200, requests=200)).explanation == (
        "ab sends one request alone first, then 1 wave of 199: 200 / 2 s"
    )


def test_a_generator_without_a_lone_request() -> None:
    limit = found(Load(200, requests=2000), lone_requests=0)
    assert limit.requests_per_second == pytest.approx(200.0)
    assert limit.explanation == "10 waves of 200: 2000 / 10 s"
    assert found(Load(20, duration=1), delay=5.0, lone_requests=0).requests_per_second == 4.0


@given(
    load=st.one_of(
        st.builds(Load, st.integers(1, 500), requests=st.integers(500, 10_000)),
        st.builds(Load, st.integers(1, 500), duration=st.floats(0.001, 1e6)),
    ),
    delay=st.floats(1e-3, 1e8),
    slots=st.none() | st.integers(1, 1000),
    share=st.just(0.0) | st.floats(0.001, 1),
    connections=st.none() | st.integers(1, 1000),
    lone=st.integers(0, 3),
)
def test_it_never_exceeds_what_fits_at_once(
    *,
    load: Load,
    delay: float,
    slots: int | None,
    share: float,
    connections: int | None,
    lone: int,
) -> None:
    limit = ceiling(
        load,
        delay=delay,
        slots=slots,
        database_share=share,
        connections=connections,
        lone_requests=lone,
    )
    assert limit is not None
    at_once = min(load.concurrency, slots or math.inf)
    assert 0 < limit.requests_per_second <= at_once / delay * (1 + 1e-9)
