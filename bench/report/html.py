"""The HTML report: one file with everything in it, which never asks the network for anything."""

import base64
import hashlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bench.analysis.summary import Row, summarise
from bench.model import Deployment, Run
from bench.report import findings, grids
from bench.report.chart_parts import Chart
from bench.report.chart_style import PAGE
from bench.report.chart_timeline import Recording, recordings, timeline_charts
from bench.report.charts import main_charts
from bench.report.fingerprint import Fact, machine_facts, run_facts
from bench.report.grids import Grid
from bench.report.problems import Failure, failures
from bench.report.recipes import Recipe, recipes
from bench.report.sections import sections
from bench.report.table import load_text
from bench.report.timeline import ROLES

TEMPLATES = Path(__file__).parent / "templates"
MOST_FAILURE_TEXT = 4000
"""Characters of a failure that the page shows: its first and last lines are among them."""


@dataclass(frozen=True)
class Filter:
    """One choice of the filter: what it is called, and the deployments that it leaves."""

    id: str
    title: str
    deployments: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """Everything that the templates show."""

    run: Run
    headline: str
    caveats: tuple[str, ...]
    deployments: int
    loads: tuple[str, ...]
    invalid: tuple[str, ...]
    """Deployments without any valid trial."""
    filters: Mapping[str, tuple[Filter, ...]]
    charts: Mapping[str, Chart]
    timelines: tuple[Chart, ...]
    recordings: tuple[Recording, ...]
    roles: tuple[str, ...]
    grids: Mapping[str, Grid]
    sections: Mapping[str, Grid]
    """Title → table, of those that only some runs have."""
    failures: tuple[Failure, ...]
    recipes: tuple[Recipe, ...]
    machine_facts: tuple[Fact, ...]
    run_facts: tuple[Fact, ...]

    @property
    def command(self) -> str:
        """The call that made the run, as a shell takes it."""
        return shlex.join(self.run.command)

    @property
    def data(self) -> Mapping[str, object]:
        """What the page's script works with."""
        charts = (*self.charts.values(), *(self.timelines if self.recordings else ()))
        return {
            "charts": {chart.id: chart.spec for chart in charts},
            "filters": {f.id: f.deployments for group in self.filters.values() for f in group},
            "recordings": {recording.id: recording.roles for recording in self.recordings},
            "roles": self.roles,
        }


def run_report(run: Run, folder: Path | None) -> str:
    """Return a run's report as an HTML page that is complete in itself.

    Args:
        run: what was measured.
        folder: the run's own, for the samples of its trials; ``None``: no timelines.

    """
    page = _page(run, folder)
    scripts = (vega(), (TEMPLATES / "page.js").read_text("utf-8"))
    return _environment().get_template("report.html").render(
        page=page, style=(TEMPLATES / "page.css").read_text("utf-8"),
        scripts=scripts, policy=content_policy(scripts),
    )  # fmt: skip


@cache
def vega() -> str:
    """Return Vega-Lite with all that it needs, as one script."""
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return script.replace("</script", r"<\/script")


def content_policy(scripts: Sequence[str]) -> str:
    """Return the page's own rules for the browser: nothing is fetched, and no other script runs.

    So even a mistake in escaping would neither load nor run anything (W3C, Content Security Policy
    Level 3). Styles are free, because charts and tooltips set them.
    """
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # as small as it gets, and roles in the order in which they were put
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    environment.filters["shortened"] = _shortened
    return environment


def _page(run: Run, folder: Path | None) -> Page:
    rows = summarise(run)
    order = [row.deployment.name for row in rows]
    recorded = recordings(run, folder, order) if folder else ()
    present = {role for recording in recorded for role in recording.roles}
    return Page(
        run=run,
        headline=findings.headline(run, rows),
        caveats=findings.caveats(run, rows),
        deployments=len(rows),
        loads=tuple(dict.fromkeys(load_text(row.load) for row in rows)),
        invalid=tuple(row.deployment.name for row in rows if not row.valid_trials),
        filters=_filters(rows),
        charts={chart.id: chart for chart in main_charts(run, rows, PAGE)},
        timelines=timeline_charts(PAGE),
        recordings=recorded,
        roles=tuple(role for role in ROLES if role in present),
        grids={grid.id: grid for grid in _grids(run, rows)},
        sections=sections(run),
        failures=failures(run),
        recipes=recipes(run, order),
        machine_facts=machine_facts(run.machine),
        run_facts=run_facts(run),
    )


def _grids(run: Run, rows: Sequence[Row]) -> tuple[Grid, ...]:
    return (
        grids.ranking(rows),
        grids.ceiling(rows),
        grids.latency(run, rows),
        grids.costs(rows),
        grids.usage(run),
        grids.verdicts(run, rows),
    )


def _filters(rows: Sequence[Row]) -> dict[str, tuple[Filter, ...]]:
    """Return the groups to choose from, those left out that would leave all or nothing."""
    kinds: dict[str, Callable[[Row], str]] = {
        "Server": lambda row: row.deployment.server,
        "Serves requests by": lambda row: _works_by(row.deployment),
        "Kind": lambda row: row.deployment.group or "ours",
        "Proxy": lambda row: "behind nginx" if row.deployment.proxy else "without nginx",
        "Rank": lambda row: f"rank {row.rank}" if row.rank is not None else "",
    }
    found: dict[str, tuple[Filter, ...]] = {}
    for kind, group_of in kinds.items():
        groups: dict[str, list[str]] = {}
        for row in rows:
            groups.setdefault(group_of(row), []).append(row.deployment.name)
        groups.pop("", None)
        if len(groups) > 1:
            found[kind] = tuple(
                Filter(f"{kind}: {title}", title, tuple(names)) for title, names in groups.items()
            )
    return found


def _works_by(deployment: Deployment) -> str:
    if deployment.async_cores:
        return "greenlets"
    return "threads" if deployment.threads or deployment.slots_without_bound else "one at a time"


def _shortened(text: str) -> str:
    if len(text) <= MOST_FAILURE_TEXT:
        return text
    half = MOST_FAILURE_TEXT // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters left out …]\n{text[-half:]}"
