import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.summary import summarise
from bench.model import Latency, Run
from bench.report.chart_style import PAGE, PICTURE
from bench.report.charts import images, main_charts, save
from bench.report.percentiles import percentiles_of
from tests.unit.factories import (
    a_failed_trial,
    a_measurement,
    a_run,
    a_trial,
    a_workload,
)

HOSTILE = '<script>alert("1")</script> & </svg>'


def specs(run: Run) -> dict[str, dict[str, Any]]:
    return {chart.id: chart.spec for chart in main_charts(run, summarise(run), PAGE)}


def data_of(spec: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for part in (spec, *spec.get("layer", [])):
        data = part.get("data", {})
        if "values" in data and "name" in data:
            found[data["name"]] = data["values"]
    return found


def test_a_chart_of_everything_that_there_are_figures_of() -> None:
    run = a_run(a_trial("one"), a_trial("two"), a_failed_trial("bad"))
    assert list(specs(run)) == ["ranking", "ceiling", "latency", "cpu", "memory"]


def test_a_failed_trial_is_in_no_chart() -> None:
    charts = specs(a_run(a_trial("good"), a_failed_trial("bad")))
    assert {row["deployment"] for spec in charts.values() for row in data_of(spec)["rows"]} == {
        "good"
    }


def test_without_a_valid_trial_there_is_no_chart() -> None:
    assert specs(a_run(a_failed_trial("bad"))) == {}
    assert specs(a_run()) == {}


def test_where_nothing_waits_there_is_no_ceiling() -> None:
    charts = specs(a_run(a_trial(), workload=a_workload("busy", delay=0.0)))
    assert "ceiling" not in charts
    assert "orange" not in str(charts["ranking"])


def test_figures_that_are_not_known_have_no_chart() -> None:
    trial = a_trial(usage={}, measurement=a_measurement(latency=None))
    assert list(specs(a_run(trial))) == ["ranking", "ceiling"]


def test_every_trial_is_a_point_of_its_deployment() -> None:
    rounds = [a_trial("one", round=n, measurement=a_measurement(100.0 + n)) for n in (1, 2, 3)]
    data = data_of(specs(a_run(*rounds, rounds=3))["ranking"])
    assert sorted(point["rate"] for point in data["trials"]) == [101.0, 102.0, 103.0]
    (row,) = data["rows"]
    assert row["rate"] == 102.0
    assert row["low"] < 102.0 < row["high"]


def test_an_interval_beyond_all_measure_does_not_stretch_the_chart() -> None:
    rates = (100.0, 3000.0)
    trials = [
        a_trial("one", round=n, measurement=a_measurement(rate)) for n, rate in enumerate(rates)
    ]
    spec = specs(a_run(*trials, rounds=2, workload=a_workload(delay=0.0)))["ranking"]
    assert data_of(spec)["rows"][0]["high"] > 10_000
    assert spec["layer"][0]["encoding"]["x"]["scale"]["domain"] == [0, pytest.approx(4725)]


def test_percentiles_that_not_all_trials_know_are_left_out() -> None:
    few = Latency(p50=1.0, p90=1.2, p99=1.4, max=1.5)
    many = Latency(p50=0.1, p90=0.2, p99=0.3, max=0.5, p999=0.4)
    trials = [a_trial("one", measurement=a_measurement(latency=times)) for times in (few, many)]
    assert percentiles_of(a_run(*trials), "one").seconds == pytest.approx(
        {"p50": 0.55, "p90": 0.7, "p99": 0.85, "max": 1.5}
    )
    assert "p99.9" in percentiles_of(a_run(trials[1]), "one").seconds


def test_times_far_apart_get_a_logarithmic_axis_in_seconds() -> None:
    slow = Latency(p50=0.05, p90=0.1, p99=3.0, max=5.0)
    spec = specs(a_run(a_trial(measurement=a_measurement(latency=slow))))["latency"]
    assert "response time in s (logarithmic)" in str(spec)


def test_pictures_have_colours_of_their_own_and_pages_leave_them_to_the_page() -> None:
    run = a_run(a_trial())
    for look, own in ((PAGE, False), (PICTURE, True)):
        text = str([chart.spec for chart in main_charts(run, summarise(run), look)])
        assert ("var(--" not in text) is own
        assert ('"subtitle"' in text.replace("'", '"')) is own


def test_every_chart_describes_itself() -> None:
    run = a_run(a_trial("one"), a_trial("two"))
    for chart in main_charts(run, summarise(run), PAGE):
        assert "2 deployment(s)" in chart.description


def test_saved_as_svg_and_png(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "charts"
    written = save(a_run(a_trial(HOSTILE)), folder)
    assert sorted(folder.iterdir()) == sorted(written)
    names = {file.name for file in written}
    assert {f"{n}.{kind}" for n in ("ranking", "latency") for kind in ("svg", "png")} <= names
    for file in written:
        content = file.read_bytes()
        if file.suffix == ".png":
            assert content.startswith(b"\x89PNG")
        else:
            root = ET.fromstring(content)  # noqa: S314 (our own)
            assert root.tag.endswith("svg")
            assert not root.findall(".//{*}script")
            assert "alert" in "".join(root.itertext())


def test_pictures_of_nothing_are_none() -> None:
    assert images(a_run(a_failed_trial())) == {}
