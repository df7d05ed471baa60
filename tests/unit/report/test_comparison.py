import json

import pytest

from bench.analysis.compare import Comparison, compare
from bench.model import Trial
from bench.report.comparison import COMPARISON_COLUMNS, as_json, as_markdown, outcome_text, remarks
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

BUSY = a_workload("busy", delay=0.0)


def a_side(factor: float, name: str = "gevent-uwsgi") -> list[Trial]:
    return [
        a_trial(
            name,
            round=number,
            measurement=a_measurement(rate * factor),
            usage={"server": a_usage(cpu_seconds=rate / factor / 500)},
        )
        for number, rate in enumerate((1000.0, 1010, 990, 1005, 995), 1)
    ]


def a_comparison(metric: str = "rps") -> Comparison:
    base = a_run(*a_side(1.0), *a_side(1.0, "old"), a_trial("shaky"), id="base", workload=BUSY)
    new = a_run(
        *a_side(0.8),
        *a_side(1.0, "a|b"),
        a_failed_trial("shaky", "<script>"),
        id="new",
        workload=BUSY,
        machine=a_machine(git_revision="fedcba987654"),
    )
    return compare(base, new, metric=metric)


def cells_of(comparison: Comparison, deployment: str) -> dict[str, str]:
    (pair,) = (p for p in comparison.pairs if p.new.deployment.name == deployment)
    return {heading: cell(pair) for heading, cell in COMPARISON_COLUMNS}


def test_cells_say_outcome_ratio_interval_and_what_could_be_seen() -> None:
    cells = cells_of(a_comparison(), "gevent-uwsgi")
    assert cells["outcome"] == "slower (regression)"
    assert cells["new ÷ base"].startswith("0.800× (0.7")
    assert cells["visible from"].endswith("%")
    assert cells["req/s"] == "1,000 → 800.0"


def test_without_an_estimate_there_is_no_figure() -> None:
    cells = cells_of(a_comparison(), "shaky")
    assert (cells["outcome"], cells["new ÷ base"], cells["visible from"]) == (
        *("inconclusive", "–"),
        "–",
    )


@pytest.mark.parametrize(
    ("metric", "said"), [("rps", "slower (regression)"), ("cpu", "costs more (regression)")]
)
def test_a_cost_is_not_slow(metric: str, said: str) -> None:
    comparison = a_comparison(metric)
    assert outcome_text(comparison.pairs[0].finding, comparison.metric) == said


def test_remarks_name_reasons_changes_and_what_is_missing() -> None:
    said = "\n".join(remarks(a_comparison()))
    assert "shaky: inconclusive: BASE: 1 round: no uncertainty known" in said
    assert "changed: git revision: 0123456789ab → fedcba987654" in said
    assert "old: only in base" in said
    assert "a|b: only in new" in said


def test_markdown_lets_no_foreign_text_become_markup() -> None:
    base = a_run(*a_side(1.0, "a|<b>"), id="base", workload=BUSY)
    new = a_run(*a_side(1.0, "a|<b>"), id="new", workload=BUSY)
    text = as_markdown(compare(base, new))
    assert "a\\|&lt;b>" in text
    widths = {line.replace("\\|", "").count("|") for line in text.splitlines() if line[:1] == "|"}
    assert widths == {len(COMPARISON_COLUMNS) + 1}


def test_markdown_says_what_is_not_alike() -> None:
    base = a_run(*a_side(1.0), id="base", workload=BUSY)
    other = [*a_side(1.0, a_deployment().name)]
    new = a_run(*other, id="new", workload=BUSY, app="shop:app")
    text = as_markdown(compare(base, new, allow_unlike=True))
    assert "**not alike: app: app:app → shop:app**" in text


def test_json_has_null_for_what_is_not_known() -> None:
    found = json.loads(as_json(a_comparison()))
    assert found["exit_code"] == 1
    assert found["deployments"]["shaky"]["ratio"] is None
    assert found["deployments"]["gevent-uwsgi"]["outcome"] == "slower"
    assert found["deployments"]["gevent-uwsgi"]["interval"][1] < 0.82
    assert found["deployments"]["gevent-uwsgi"]["rounds"] == [5, 5]
