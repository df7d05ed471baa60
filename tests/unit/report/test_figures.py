import pytest

from bench.report import figures


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.5, "1.50"), (99.994, "99.99"), (181.81, "181.8"), (1234.5, "1,234"), (0.0, "0.00")],
)
def test_rates_have_as_many_digits_as_say_something(value: float, text: str) -> None:
    assert figures.rate(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0 ms"), (0.0124, "12 ms"), (0.999, "999 ms"), (1.005, "1.00 s"), (250.4, "250 s")],
)
def test_durations(value: float, text: str) -> None:
    assert figures.seconds(value) == text


def test_the_other_units() -> None:
    assert figures.milliseconds(0.00123) == "1.23"
    assert figures.size(100 * 1024**2) == "100 MiB"
    assert figures.percent(0.974) == "97%"
    assert figures.ratio(110.0, 100.0) == "1.100×"
    assert figures.count(12345) == "12,345"
    assert figures.span(59.4) == "59 s"
    assert figures.span(125) == "2 min 5 s"


@pytest.mark.parametrize(
    "text",
    [
        *(figures.rate(None), figures.seconds(None), figures.milliseconds(None)),
        *(figures.size(None), figures.percent(None), figures.count(None)),
        *(figures.ratio(None, 1.0), figures.ratio(1.0, None), figures.ratio(1.0, 0.0)),
    ],
)
def test_what_is_not_known_is_a_dash_and_no_number(text: str) -> None:
    assert text == figures.UNKNOWN
    assert not any(character.isdigit() for character in text)
