"""How costs grow with concurrency, worked out by hand."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.analysis.scale import Point, growth
from bench.cli import cli
from bench.errors import UsageError
from bench.model import Load, Run, Surroundings
from bench.report.scale import chart_svg, scale_grid
from bench.store import save_run
from tests.unit.factories import (
    a_deployment,
    a_failed_trial,
    a_machine,
    a_measurement,
    a_run,
    a_trial,
    a_usage,
)

MIB = 1024**2


def run_at(concurrency: int, *, memory: float = 100, drops: float = 0, name: str = "run") -> Run:
    load = Load(concurrency, requests=10 * concurrency)
    trials = (
        a_trial(
            a_deployment(),
            round=number,
            load=load,
            measurement=a_measurement(rate, requests=10 * concurrency),
            usage={
                "server": a_usage(cpu_seconds=0.02 * concurrency, memory_bytes=int(memory * MIB))
            },
            surroundings=Surroundings({"ListenDrops": drops}),
        )
        for number, rate in enumerate((80.0, 90.0, 85.0), 1)
    )
    return a_run(*trials, a_failed_trial(a_deployment(), round=4), id=name, rounds=4)


def test_points_are_medians_in_order_of_concurrency() -> None:
    many, few = run_at(1000, memory=500, drops=2), run_at(100)
    first, second = growth([many, few])
    assert [first.concurrency, second.concurrency] == [100, 1000]
    assert (second.deployment, second.rounds, second.slots) == ("gevent-uwsgi", 3, 8000)
    assert second.requests_per_second == 85
    assert second.cpu_per_request == pytest.approx(0.002)
    assert second.memory_bytes == 500 * MIB
    assert second.memory_per_request == 500 * MIB / 1000
    assert second.start == 0.5
    assert second.drops == 6
    # ab sends one alone, then waves of 100, each a second long
    assert first.of_ceiling == pytest.approx(85 / (1000 / 11))


def test_unlike_machines_are_refused() -> None:
    other = replace(run_at(1000), machine=a_machine(cores=64))
    with pytest.raises(UsageError, match=r"not alike: machine, cores.*--allow-unlike"):
        growth([run_at(100), other])
    assert len(growth([run_at(100), other], allow_unlike=True)) == 2


def test_no_valid_trial_is_no_point() -> None:
    with pytest.raises(UsageError, match="no valid trial"):
        growth([a_run(a_failed_trial())])


def test_what_is_not_known_is_no_number() -> None:
    point = Point("one", 10, 1, None, 5.0, None, None, None, None, 0)
    grid = scale_grid([run_at(10)], [point])
    cells = [cell.text for cell in grid.lines[0].cells]
    assert cells == ["one", "10", "1", "–", "5.00", "–", "–", "–", "–", "–", "0"]
    assert point.memory_per_request is None
    assert chart_svg([point]).startswith("<svg")


def test_the_command_prints_charts_and_fills_in(tmp_path: Path) -> None:
    folders = []
    for concurrency in (100, 1000):
        folder = tmp_path / f"c{concurrency}"
        folder.mkdir()
        save_run(run_at(concurrency, name=f"run-{concurrency}"), folder)
        folders.append(str(folder))
    document = tmp_path / "document.md"
    document.write_text("a\n<!-- results of scale: begin -->\n<!-- results of scale: end -->\nb\n")
    chart = tmp_path / "scale.svg"
    arguments = ["scale", *folders, "--into", str(document), "--chart", str(chart)]
    ended = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert ended.exit_code == 0
    assert "1,000" in ended.stdout
    text = document.read_text()
    assert "| gevent-uwsgi | 1,000 | 3 | 8,000 | 85.00 |" in text
    assert text.startswith("a\n")
    assert text.endswith("b\n")
    assert "CPU ms per request" in chart.read_text()
