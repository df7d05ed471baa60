import csv
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from bench.observe.processes import Role
from bench.observe.samples import COLUMNS, Sample, figures, summary, write_csv


def test_the_highest_of_everything_and_the_last_of_cpu() -> None:
    usage = summary(
        [
            Sample(0.0, 5, 2, memory_bytes=100, open_files=9, states=Counter(ESTABLISHED=3)),
            Sample(1.0, 9, 3),
            Sample(1.5, 7, 2, memory_bytes=90, states=Counter(ESTABLISHED=1, CLOSE_WAIT=2)),
        ],
        idle=Sample(0.0, 4, 1),
    )
    assert usage.cpu_seconds == 1.5
    assert (usage.threads_before, usage.threads_during) == (4, 9)
    assert (usage.processes_before, usage.processes_during) == (1, 3)
    assert (usage.memory_bytes, usage.open_files) == (100, 9)
    assert usage.connections == {"ESTABLISHED": 3, "CLOSE_WAIT": 2}


def test_what_was_not_seen_is_unknown() -> None:
    usage = summary([Sample(0.0, 1, 1)])
    assert (usage.memory_bytes, usage.open_files, usage.connections) == (None, None, {})
    assert usage.threads_before == 0


def test_csv_has_a_row_per_role_and_moment_and_no_made_up_zero(tmp_path: Path) -> None:
    file = tmp_path / "samples.csv"
    sample = Sample(0.5, 2, 1, connections=0)
    write_csv([(0.2, "server", sample), (0.2, "api", Sample(0.1, 3, 3))], file)
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert [row["role"] for row in rows] == ["server", "api"]
    assert list(rows[0]) == ["seconds", "role", *COLUMNS]
    assert rows[0]["connections"] == "0"
    assert rows[0]["memory_bytes"] == ""
    assert rows[0]["seconds"] == "0.200"


def test_figures_of_queue_and_workers() -> None:
    worker = SimpleNamespace(cpu_seconds=3.0, cpu_at_start=1.0, held=[10, 60, 70, 11])
    role = cast("Role", SimpleNamespace(all=[worker]))
    samples = [Sample(0, 1, 1, accept_queue=4, backlog=8), Sample(1, 1, 1, accept_queue=9)]
    assert figures(role, samples, workers=True) == {
        "accept_queue": 9,
        "backlog": 8,
        "1.cpu_seconds": 2.0,
        "1.connections": 55.0,
    }
    assert figures(role, [Sample(0, 1, 1)], workers=False) == {}
