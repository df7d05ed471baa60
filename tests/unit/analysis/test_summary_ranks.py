from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.ranks import Rank, holm, tie_groups
from bench.analysis.summary import Row, summarise
from bench.model import Trial
from bench.report.findings import caveats, headline
from tests.unit.factories import a_failed_trial, a_measurement, a_run, a_trial


def rounds_of(name: str, rates: Sequence[float]) -> list[Trial]:
    return [
        a_trial(name, round=number, measurement=a_measurement(rate))
        for number, rate in enumerate(rates, 1)
    ]


def rows_of(*trials: Trial) -> dict[str, Row]:
    return {row.deployment.name: row for row in summarise(a_run(*trials))}


class TestRows:
    def test_one_round_has_neither_interval_nor_rank(self) -> None:
        rows = rows_of(a_trial("one"), a_trial("other"))
        assert all((row.interval, row.rank) == (None, None) for row in rows.values())

    def test_an_interval_lies_around_the_median(self) -> None:
        row = rows_of(*rounds_of("one", [100, 103, 98, 101, 107]))["one"]
        assert row.requests_per_second == 101
        assert row.interval is not None
        assert (row.interval.low, row.interval.high) == (98, 107)

    def test_what_cannot_be_told_apart_shares_a_rank(self) -> None:
        rows = rows_of(
            *rounds_of("slow", [50, 51, 50, 49, 50]),
            *rounds_of("one", [100, 103, 98, 101, 107]),
            *rounds_of("other", [101, 99, 103, 100, 102]),
        )
        assert [(name, row.rank) for name, row in rows.items()] == [
            *(("one", 1), ("other", 1)),
            ("slow", 3),
        ]
        assert rows["one"].places == Rank(best=1, worst=2, ties=("other",))

    def test_an_invalid_trial_says_nothing_of_noise(self) -> None:
        rows = rows_of(
            *rounds_of("one", [100, 103, 98]),
            a_trial("other", round=1),
            a_failed_trial("other", round=2),
        )
        assert rows["one"].rank == 1
        assert (rows["other"].rank, rows["other"].interval) == (None, None)

    def test_one_valid_round_is_never_on_top(self) -> None:
        trials = (
            *rounds_of("slow", [50, 51, 50]),
            *rounds_of("one", [100, 103, 98]),
            a_trial("once", round=1, measurement=a_measurement(500)),
            a_failed_trial("once", round=2),
            a_failed_trial("never", round=1),
        )
        run = a_run(*trials, rounds=3)
        rows = summarise(run)
        assert [row.deployment.name for row in rows] == ["one", "slow", "once", "never"]
        assert "once" not in headline(run, rows)
        assert "One valid round only, and so no rank: once." in caveats(run, rows)

    def test_one_alone_is_ahead_of_nobody(self) -> None:
        once = a_trial("once", round=1, measurement=a_measurement(500))
        run = a_run(*rounds_of("one", [100, 103, 98]), once, rounds=3)
        assert headline(run, summarise(run)).startswith("once answered most")


class TestHolm:
    @pytest.mark.parametrize(
        ("p_values", "rejected"),
        [
            # textbook example of four: 0.0125 and 0.0167 are passed, 0.025 is not
            ([0.01, 0.04, 0.03, 0.005], [True, False, False, True]),
            # statsmodels' multipletests(method="holm") says the same
            ([0.001, 0.011, 0.02, 0.04, 0.9], [True, True, False, False, False]),
            # one that is not rejected stops all above it
            ([0.03, 0.026, 0.04], [False, False, False]),
            ([0.05], [True]),
            ([], []),
        ],
    )
    def test_worked_examples(self, p_values: list[float], rejected: list[bool]) -> None:
        assert holm(p_values, 0.05) == rejected

    @given(st.lists(st.floats(0, 1), min_size=1), st.randoms())
    def test_the_order_changes_nothing(self, p_values: list[float], shuffler: object) -> None:
        order = list(range(len(p_values)))
        shuffler.shuffle(order)  # type: ignore[attr-defined]
        straight = holm(p_values, 0.05)
        assert holm([p_values[i] for i in order], 0.05) == [straight[i] for i in order]


def rounds(values: Sequence[float]) -> dict[int, float]:
    return dict(enumerate(values, 1))


class TestTieGroups:
    def test_between_two_that_differ_it_can_share_with_both(self) -> None:
        """Not being told apart is not transitive: the noisy one shares a place with either."""
        found = tie_groups(
            {
                "fast": rounds([110, 111, 110, 109, 110, 111]),
                "noisy": rounds([80, 140, 95, 120, 90, 115]),
                "slow": rounds([100, 101, 100, 99, 100, 99]),
            }
        )
        assert found == {
            "fast": Rank(1, 2, ("noisy",)),
            "noisy": Rank(1, 3, ("fast", "slow")),
            "slow": Rank(2, 3, ("noisy",)),
        }

    def test_nothing_in_common_is_a_tie(self) -> None:
        found = tie_groups({"one": {1: 10.0, 2: 10.0}, "other": {3: 99.0, 4: 99.0}})
        assert {rank.best for rank in found.values()} == {1}

    def test_alone_it_is_the_first(self) -> None:
        assert tie_groups({"one": rounds([1, 2, 3])}) == {"one": Rank(1, 1, ())}
        assert tie_groups({}) == {}

    def test_nine_alike_are_hardly_ever_told_apart(self) -> None:
        """At most one run in twenty; without Holm it would be most of them."""
        rng = np.random.default_rng(10)
        wrong = 0
        for _ in range(100):
            run = np.exp(rng.normal(0, 0.03, (9, 5)))
            found = tie_groups({str(number): rounds(list(each)) for number, each in enumerate(run)})
            wrong += any(rank.best > 1 for rank in found.values())
        assert wrong <= 5 + 4  # 2 standard errors of 100 runs

    @given(
        st.dictionaries(
            st.sampled_from("abcdef"),
            st.lists(st.floats(1, 1000), min_size=5, max_size=5),
            min_size=1,
        )
    )
    def test_ties_are_mutual_and_places_fit(self, values: dict[str, list[float]]) -> None:
        found = tie_groups({name: rounds(each) for name, each in values.items()})
        for name, rank in found.items():
            assert 1 <= rank.best <= rank.worst <= len(found)
            assert rank.worst - rank.best == len(rank.ties)
            assert all(name in found[tie].ties for tie in rank.ties)
