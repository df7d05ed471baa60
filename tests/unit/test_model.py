from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.model import Load, Target
from tests.unit.factories import (
    a_database_workload,
    a_deployment,
    a_failed_trial,
    a_measurement,
    a_trial,
    a_workload,
)

settings = st.none() | st.integers(1, 5000)


class TestDeployment:
    @pytest.mark.parametrize(
        ("changes", "slots"),
        [
            ({"workers": 4, "threads": 50, "async_cores": None}, 200),
            ({"workers": 4, "async_cores": 2000}, 8000),
            ({"workers": None, "async_cores": 2000}, 2000),
            ({"workers": None, "async_cores": None}, 1),
            ({"slots_without_bound": True}, None),
        ],
    )
    def test_slots(self, changes: dict[str, Any], slots: int | None) -> None:
        assert a_deployment(**changes).slots == slots

    @given(settings, settings, settings, settings, settings, settings)
    def test_settings_reach_only_servers_that_have_them(
        self,
        has_workers: int | None,
        has_threads: int | None,
        has_cores: int | None,
        workers: int | None,
        threads: int | None,
        cores: int | None,
    ) -> None:
        before = a_deployment(workers=has_workers, threads=has_threads, async_cores=has_cores)
        after = before.with_settings(workers=workers, threads=threads, async_cores=cores)
        for had, asked, got in (
            (has_workers, workers, after.workers),
            (has_threads, threads, after.threads),
            (has_cores, cores, after.async_cores),
        ):
            assert got == (None if had is None else asked or had)


class TestLoad:
    @pytest.mark.parametrize("ends", [{}, {"requests": 1, "duration": 1.0}])
    def test_it_has_exactly_one_end(self, ends: dict[str, int]) -> None:
        with pytest.raises(ValueError, match="exactly one of them"):
            Load(1, **ends)


class TestWorkload:
    def test_the_delay_is_filled_in(self) -> None:
        assert a_workload(delay=0.5).url_path() == "/?delay=0.5"
        assert a_workload(delay=0.5).url_path(0.0) == "/?delay=0"
        assert a_workload(path="/hello", delay=None).url_path() == "/hello"

    @given(st.integers(1, 500), st.integers(1, 200))
    def test_connections_are_shared_out_and_never_exceeded(
        self, connections: int, workers: int
    ) -> None:
        workload = a_database_workload(database_connections=connections)
        deployment = a_deployment(workers=workers)
        each = workload.connections_per_process(deployment)
        assert each is not None
        assert each >= 1
        assert workload.connections(deployment) == each * workers
        if connections >= workers:
            assert connections - workers < each * workers <= connections

    def test_no_database_no_connections(self) -> None:
        assert a_workload().connections(a_deployment()) is None


class TestTrial:
    def test_a_failure_or_nothing_measured_is_not_valid(self) -> None:
        assert a_trial().valid
        assert not a_trial(failure="3 non_2xx").valid
        assert not a_trial(measurement=None).valid
        assert not a_failed_trial().valid

    def test_overhead_is_all_but_the_load(self) -> None:
        assert a_trial(seconds={"start": 1.0, "load": 20.0, "stop": 0.5}).overhead == 1.5


def test_kinds_of_failures_overlap_so_the_largest_counts() -> None:
    assert a_measurement(failures={"receive": 3, "length": 5, "exceptions": 3}).failed == 5
    assert a_measurement(failures={}).failed == 0


def test_a_target_is_a_url() -> None:
    assert Target("127.0.0.1", 8000).url == "http://127.0.0.1:8000"
