import pytest

from bench.model import Load, Run
from bench.report.table import load_text, slots_text, table_of
from tests.unit.factories import (
    a_deployment,
    a_failed_trial,
    a_machine,
    a_measurement,
    a_run,
    a_trial,
    a_usage,
    a_workload,
)


def cells_of(run: Run) -> list[dict[str, str]]:
    table = table_of(run)
    return [{column.heading: column.cell(row) for column in table.columns} for row in table.rows]


class TestRows:
    def test_a_valid_trial(self) -> None:
        (cells,) = cells_of(a_run(a_trial()))
        assert (
            cells.items()
            >= {
                "deployment": "gevent-uwsgi",
                "req/s": "180.0",
                "of ceiling": "99%",
                "p50": "1.00 s",
                "p99": "1.10 s",
                "max": "1.20 s",
                "failed": "0",
                "CPU ms/req": "1.00",
                "memory": "100 MiB",
                "threads": "5 → 9",
                "workers": "4 × 2000",
            }.items()
        )

    @pytest.mark.parametrize(
        ("deployment", "workers"),
        [
            (a_deployment(threads=50, async_cores=None), "4 × 50"),
            (a_deployment(workers=None, async_cores=None), "1 × 1"),
            (a_deployment(workers=None, slots_without_bound=True), "1 × ∞"),
        ],
    )
    def test_workers(self, deployment: object, workers: str) -> None:
        (cells,) = cells_of(a_run(a_trial(deployment)))  # type: ignore[arg-type]
        assert cells["workers"] == workers

    def test_a_failed_trial_shows_no_number(self) -> None:
        (cells,) = cells_of(a_run(a_failed_trial("devserver", "exited with status 1")))
        shown = {heading: cell for heading, cell in cells.items() if any(map(str.isdigit, cell))}
        assert set(shown) == {"workers"}

    def test_an_invalid_trial_shows_its_failures_and_no_figure(self) -> None:
        measured = a_measurement(rate=4321.0, failures={"non_2xx": 17})
        (cells,) = cells_of(a_run(a_trial(measurement=measured, failure="17 non_2xx")))
        shown = {heading: cell for heading, cell in cells.items() if any(map(str.isdigit, cell))}
        assert set(shown) == {"workers", "failed"}
        assert shown["failed"] == "17"

    def test_every_heading_of_the_issue_is_there(self) -> None:
        headings = [column.heading for column in table_of(a_run(a_trial())).columns]
        for heading in (
            *("deployment", "req/s", "of ceiling", "p50", "p99", "max", "failed", "CPU ms/req"),
            *("memory", "threads", "workers"),
        ):
            assert heading in headings


class TestNotes:
    def notes_of(self, run: Run) -> str:
        return "\n".join(table_of(run).notes)

    def test_where_and_with_what_it_was_made(self) -> None:
        notes = self.notes_of(a_run(a_trial()))
        for words in ("ab 2.3", "20261120T120000Z-api", "2 × Imaginary 9000", "8 GiB", "3.11.7"):
            assert words in notes

    @pytest.mark.parametrize("package", ["uwsgi", "pyuwsgi"])
    def test_which_package_uwsgi_is(self, package: str) -> None:
        machine = a_machine(versions={package: "2.0.31"})
        assert f"uWSGI: package {package} 2.0.31" in self.notes_of(
            a_run(a_trial(), machine=machine)
        )

    def test_the_sum_behind_the_ceiling(self) -> None:
        notes = self.notes_of(a_run(a_trial()))
        assert "n=2000 c=200: ceiling 181.8 req/s by concurrency: " in notes
        assert "2000 / 11 s" in notes

    def test_at_the_ceiling_another_workload_is_named(self) -> None:
        reached = a_run(a_trial("one", measurement=a_measurement(175.0)), a_trial("two"))
        assert "does not tell these servers apart" in self.notes_of(reached)
        assert "use WORKLOAD=busy" in self.notes_of(reached)
        below = a_run(a_trial("one", measurement=a_measurement(100.0)))
        assert "apart" not in self.notes_of(below)

    def test_what_its_own_slots_hold_is_told_apart(self) -> None:
        own = a_deployment("own", workers=None, async_cores=None)
        reached = a_run(
            a_trial("one", measurement=a_measurement(175.0)),
            a_trial("two"),
            a_trial(own, load=Load(5, requests=10), measurement=a_measurement(0.99)),
        )
        assert "does not tell two and one apart" in self.notes_of(reached)

    def test_a_ceiling_is_told_once_for_all_that_share_it(self) -> None:
        notes = self.notes_of(
            a_run(
                a_trial("one"),
                a_trial("two"),
                a_trial(
                    a_deployment("three", workers=None, async_cores=None),
                    load=Load(5, requests=10),
                    measurement=a_measurement(0.9),
                ),
            )
        )
        assert notes.count("n=2000 c=200: ceiling") == 1
        assert "(one, two)" in notes
        assert "n=10 c=5: ceiling 1.00 req/s by slots" in notes

    def test_where_nothing_waits_it_says_so(self) -> None:
        run = a_run(
            a_trial(load=Load(200, duration=10.0)), workload=a_workload(delay=None, path="/hello")
        )
        assert "10 s c=200: no request waits, so arithmetic sets no ceiling" in self.notes_of(run)

    def test_one_round_tells_nothing_of_uncertainty(self) -> None:
        assert "1 round: no uncertainty known" in self.notes_of(a_run(a_trial()))
        assert "1 round" not in self.notes_of(a_run(a_trial(), a_trial(round=2), rounds=2))

    def test_the_runs_own_notes_are_kept(self) -> None:
        assert "a remark" in self.notes_of(a_run(a_trial(), notes=("a remark",)))


class TestProblems:
    def test_each_reason_with_its_deployment(self) -> None:
        problems = table_of(
            a_run(a_trial(), a_failed_trial("devserver", "it never came up"))
        ).problems
        assert problems == ("devserver: it never came up",)

    def test_a_valid_run_has_none(self) -> None:
        assert table_of(a_run(a_trial())).problems == ()

    def test_what_was_skipped_and_why(self) -> None:
        run = a_run(a_trial(), skipped={"nginx-uwsgi": "nginx is not installed"})
        assert table_of(run).problems == ("nginx-uwsgi: skipped: nginx is not installed",)

    @pytest.mark.parametrize(
        ("status", "word"), [("interrupted", "interrupted"), ("running", "cut short")]
    )
    def test_a_run_that_ended_early_says_what_is_missing(self, status: str, word: str) -> None:
        planned = ((1, "gevent-uwsgi"), (1, "sync-uwsgi"), (1, "devserver"))
        run = a_run(a_trial(), status=status, planned=planned)
        assert table_of(run).problems == (f"the run was {word}: 2 of 3 trials are missing",)


@pytest.mark.parametrize(
    ("load", "text"),
    [(Load(200, requests=2000), "n=2000 c=200"), (Load(5, duration=2.5), "2.5 s c=5")],
)
def test_loads_as_text(load: Load, text: str) -> None:
    assert load_text(load) == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "4 × 2000 async cores"),
        ({"threads": 50, "async_cores": None}, "4 × 50 threads"),
        ({"workers": None, "async_cores": None}, "1 × 1 slot"),
        ({"slots_without_bound": True}, "4 × no bound"),
    ],
)
def test_slots_as_text(changes: dict[str, object], text: str) -> None:
    deployment = a_deployment(**changes)  # type: ignore[arg-type]
    assert slots_text(deployment) == text


def test_the_cost_is_the_deployments_and_not_the_apis() -> None:
    usage = {"server": a_usage(), "api": a_usage(cpu_seconds=500.0, memory_bytes=2**40)}
    (cells,) = cells_of(a_run(a_trial(usage=usage)))
    assert (cells["CPU ms/req"], cells["memory"]) == ("1.00", "100 MiB")
