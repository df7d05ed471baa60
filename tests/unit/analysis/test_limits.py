import pytest

from bench.analysis.limits import ceiling_of, expected_at_once, usable_connections
from bench.catalog import load_catalog
from bench.model import Load
from tests.unit.factories import a_database_workload, a_deployment, a_workload

DB = a_database_workload()
CONTROL = a_deployment("control", workers=1, blocks_in=("database",))


class TestUsableConnections:
    @pytest.mark.parametrize(("workers", "expected"), [(1, 80), (4, 80), (3, 78), (None, 80)])
    def test_a_pool_is_shared_out_evenly(self, workers: int | None, expected: int) -> None:
        assert usable_connections(a_deployment(workers=workers), DB) == expected

    @pytest.mark.parametrize("workers", [1, 4])
    def test_a_blocking_driver_uses_one_per_process(self, workers: int) -> None:
        deployment = a_deployment(workers=workers, blocks_in=("database",))
        assert usable_connections(deployment, DB) == workers

    def test_no_database(self) -> None:
        assert usable_connections(CONTROL, a_workload()) is None


class TestExpectedAtOnce:
    @pytest.mark.parametrize(
        ("deployment", "api", "db"),
        [
            (a_deployment(), 8000, 80),
            (a_deployment(threads=50, async_cores=None), 200, 80),
            (a_deployment(workers=None, async_cores=None), 1, 1),
            (a_deployment(slots_without_bound=True), None, 80),
            (CONTROL, 2000, 1),
        ],
    )
    def test_it_is_the_narrowest_place(
        self, deployment: object, api: int | None, db: int | None
    ) -> None:
        assert expected_at_once(deployment, a_workload()) == api  # type: ignore[arg-type]
        assert expected_at_once(deployment, DB) == db  # type: ignore[arg-type]


class TestCeilingOf:
    def test_the_tutorials_table(self) -> None:
        limit = ceiling_of(a_deployment(), Load(200, requests=2000), a_workload())
        assert limit is not None
        # one request alone, then ten waves of 200, of a second each
        assert limit.requests_per_second == pytest.approx(2000 / 11)
        assert limit.bound_by == "concurrency"

    def test_slots(self) -> None:
        deployment = a_deployment(workers=None, async_cores=None)
        limit = ceiling_of(deployment, Load(5, requests=10), a_workload())
        assert limit is not None
        assert (limit.requests_per_second, limit.bound_by) == (1.0, "slots")

    def test_the_control_holds_its_process_for_half_of_the_delay(self) -> None:
        limit = ceiling_of(CONTROL, Load(5, requests=10), DB)
        assert limit is not None
        # a request alone, half a second in the API, then nine queries of half a second in a row
        assert limit.requests_per_second == pytest.approx(10 / (1 + 0.5 + 9 * 0.5))
        assert limit.bound_by == "pool"

    def test_a_pool(self) -> None:
        limit = ceiling_of(a_deployment(), Load(200, requests=2000), DB)
        assert limit is not None
        # 1999 requests, 80 at a time, each for half a second
        assert limit.requests_per_second == pytest.approx(2000 / (1 + 0.5 + 25 * 0.5))
        assert limit.bound_by == "pool"

    def test_where_nothing_waits_there_is_none(self) -> None:
        load = Load(200, duration=10.0)
        assert ceiling_of(a_deployment(), load, a_workload(delay=0.0)) is None
        assert ceiling_of(a_deployment(), load, a_workload(delay=None)) is None

    def test_the_shipped_control_is_held_to_about_one_and_a_half(self) -> None:
        catalog = load_catalog()
        workload = catalog.workload("db")
        control = catalog.deployment("gevent-uwsgi-blocking")
        limit = ceiling_of(control, workload.load_for[control.name], workload)
        assert limit is not None
        assert 1.4 < limit.requests_per_second < 1.8
