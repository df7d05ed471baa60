"""What the documents say is what the project has: tables, deployments, commands, variables."""

from pathlib import Path
from statistics import median

import click
import pytest

from bench.analysis.scale import growth
from bench.catalog import load_catalog
from bench.cli import cli
from bench.cli.scale import TITLE
from bench.report import markdown
from bench.report.scale import scale_grid
from bench.store import load_run

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
REFERENCE = ROOT / "results" / "reference"


PERFORMANCE = "docs/performance.md"
REPORTS = {
    "busy": "README.md", "api": "README.md", "db": "README.md", "containers": "docs/containers.md",
    "peers": PERFORMANCE, "levers": PERFORMANCE, "accept": PERFORMANCE, "one-worker": PERFORMANCE,
    "bounds": "docs/bounds.md", "flask": PERFORMANCE,
}  # fmt: skip
"""Committed run → the document that has its report."""
DEV_SERVER = "werkzeug"
"""With a thread per request it loses one now and then, and the report says so."""
SCALE = ("scale-100", "scale-1000", "scale-4000", "scale-10000")


@pytest.mark.parametrize("name", REPORTS)
def test_the_table_of_results_is_that_of_the_committed_run(name: str) -> None:
    run = load_run(REFERENCE / name)
    document = (ROOT / REPORTS[name]).read_text("utf-8")
    assert all(trial.valid for trial in run.trials if trial.deployment.server != DEV_SERVER)
    brief = REPORTS[name] in {PERFORMANCE, "docs/bounds.md"}
    mark = name if brief else run.workload.name
    assert markdown.insert(markdown.run_report(run, brief=brief), document, mark) == document


def test_the_table_of_scale_is_that_of_the_committed_runs() -> None:
    runs = [load_run(REFERENCE / name) for name in SCALE]
    assert all(trial.valid for run in runs for trial in run.trials)
    table = "\n".join(markdown.grid(TITLE, scale_grid(runs, growth(runs))))
    document = (ROOT / PERFORMANCE).read_text("utf-8")
    assert markdown.insert(table, document, "scale") == document
    assert "](scale.svg)" in document
    assert (ROOT / "docs" / "scale.svg").is_file()


def test_a_table_out_of_step_would_be_seen() -> None:
    stale = README.replace("| gevent-uwsgi | ", "| gevent-uwsgi | 1", 1)
    assert stale != README
    report = markdown.run_report(load_run(REFERENCE / "busy"))
    assert markdown.insert(report, stale, "busy") == README


DEPLOYMENTS = [d.name for d in load_catalog().deployments.values() if d.group is None]


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_every_deployment_is_in_the_readme_with_its_files(name: str) -> None:
    (row,) = [
        line
        for line in README.splitlines()
        if line.startswith("| `") and f"`{name}`" in line.split("|")[1]
    ]
    for file in load_catalog().deployments[name].copy:
        assert f"`{file.removeprefix('flask_app/')}`" in row


@pytest.mark.parametrize("workload", ["busy", "api", "db"])
def test_the_cost_of_the_harness_is_that_of_the_committed_runs(workload: str) -> None:
    costs = [
        trial.usage["harness"].cpu_seconds / trial.measurement.seconds
        for trial in load_run(REFERENCE / workload).trials
        if trial.measurement
    ]
    methodology = " ".join((ROOT / "docs" / "methodology.md").read_text("utf-8").split())
    assert f"{median(costs):.1%} ({max(costs):.1%}) on `{workload}`" in methodology


def test_every_command_is_in_the_readme() -> None:
    context = click.Context(cli)
    for name in cli.list_commands(context):
        assert f"make {name}" in README or f"flask-bench {name}" in README, name


def test_the_documents_that_the_readme_names_are_there() -> None:
    for name in (
        "docs/methodology.md",
        "docs/production.md",
        "docs/performance.md",
        "docs/containers.md",
        "docs/own-app.md",
        "docs/doctor.md",
        "docs/eject.md",
        "docs/drain.md",
        "docs/bounds.md",
        "CONTRIBUTING.md",
        "LICENSE",
    ):
        assert f"({name})" in README
        assert (ROOT / name).is_file()


def test_nothing_committed_names_the_machine_that_it_was_made_on() -> None:
    for run in REFERENCE.glob("*/run.json"):
        text = run.read_text("utf-8")
        assert str(Path.home()) not in text
        assert str(ROOT) not in text
