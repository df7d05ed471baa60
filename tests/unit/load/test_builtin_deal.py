"""What comes when in a scenario, and what is sent."""

import math
from collections import Counter
from itertools import islice

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UsageError
from bench.load.builtin import Builtin
from bench.load.builtin_client import DECK, dealt
from bench.load.http_messages import Answer, request_message
from bench.load.latency import latency_from_counts
from bench.model import Load


@given(
    weights=st.lists(st.floats(0.001, 1000), min_size=1, max_size=20),
    requests=st.integers(1, 5000),
)
def test_no_share_is_off_by_more_than_one(weights: list[float], requests: int) -> None:
    dealt_out = Counter(dealt(weights, requests))
    assert dealt_out.total() == requests
    for number, weight in enumerate(weights):
        assert abs(dealt_out[number] - weight / sum(weights) * requests) <= 1


def test_what_comes_seldom_comes_in_an_endless_deck() -> None:
    assert Counter(islice(dealt((5000, 1), None), 5001)) == {0: 5000, 1: 1}
    assert Counter(islice(dealt((99_999, 1), None), 100_000)) == {0: 99_999, 1: 1}


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=9), st.integers(1, 9))
def test_what_is_left_over_of_an_endless_deck_comes_in_the_next(
    weights: list[float], decks: int
) -> None:
    size = max(DECK, math.ceil(sum(weights) / min(weights)))
    dealt_out = Counter(islice(dealt(weights, None), decks * size))
    for number, weight in enumerate(weights):
        assert abs(dealt_out[number] - weight / sum(weights) * decks * size) < 1


def test_shares_that_do_not_go_into_a_deck() -> None:
    dealt_out = Counter(islice(dealt((1000, 1.5), None), 100 * DECK))
    assert dealt_out[1] == round(1.5 / 1001.5 * 100 * DECK)  # and not one in each deck


def test_an_endless_deck_has_its_shares_in_every_round() -> None:
    cards = dealt((3, 1), None)
    for _ in range(3):
        assert Counter(islice(cards, DECK)) == {0: 0.75 * DECK, 1: 0.25 * DECK}


def test_the_order_is_mixed_and_the_same_each_time() -> None:
    once = list(dealt((1, 1), 100))
    assert once == list(dealt((1, 1), 100))
    assert once not in (sorted(once), sorted(once, reverse=True))


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (Load(0, requests=10), "CONCURRENCY=0"),
        (Load(30_000, requests=30_000), "CONCURRENCY=30000"),
        (Load(10, requests=5), "REQUESTS=5"),
        (Load(10, requests=10**9), "REQUESTS=1000000000"),
        (Load(10, duration=float("nan")), "DURATION=nan"),
        (Load(10, duration=0.0), r"DURATION=0\.0"),
    ],
)
def test_a_load_that_it_cannot_do(load: Load, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Builtin().check(load)


def test_a_request_without_a_body_says_so_where_one_could_be() -> None:
    assert b"Content-Length: 0\r\n" in request_message("x:1", "/", method="POST")
    assert b"Content-Length" not in request_message("x:1", "/")


def test_headers_that_were_cut_off_are_no_whole_answer() -> None:
    answer = Answer()
    answer.feed(b"HTTP/1.1 200 OK\r\nContent-")
    assert not answer.ended_by_closing()


def test_what_is_interim_is_no_answer() -> None:
    answer, seen = Answer(), []
    for data in (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
        b"ok",
    ):
        answer.feed(data)
        seen.append(answer.complete)
    assert seen == [False, False, True]
    assert (answer.parser.get_status_code(), bytes(answer.body)) == (200, b"ok")


def test_another_protocol_is_no_http() -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    with pytest.raises(httptools.HttpParserError):
        Answer().feed(head)


def test_times_in_microseconds() -> None:
    latency = latency_from_counts(dict.fromkeys(range(101, 201), 1), unit=1)
    assert latency is not None
    assert (latency.p50, latency.p99, latency.max) == (0.00015, 0.000199, 0.0002)
