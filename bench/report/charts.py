"""The charts of a run as Vega-Lite: for the page, and alone as SVG and PNG for a README."""

from collections.abc import Sequence
from pathlib import Path

import vl_convert

from bench.analysis.summary import Row, summarise
from bench.model import Run
from bench.report import chart_costs, chart_throughput
from bench.report.chart_parts import Chart
from bench.report.chart_style import PICTURE, Look
from bench.report.percentiles import percentiles_of

PICTURE_SCALE = 2
"""A README is read on screens with two pixels for each."""


def main_charts(run: Run, rows: Sequence[Row], look: Look) -> tuple[Chart, ...]:
    """Return the charts that a run has figures for; without a valid trial there are none."""
    valid = [row for row in rows if row.valid_trials]
    times = [percentiles_of(run, row.deployment.name) for row in valid]
    charts = (
        chart_throughput.ranking(run, valid, look),
        chart_throughput.ceiling(valid, look),
        chart_costs.latency(times, look),
        chart_costs.cpu(valid, look),
        chart_costs.memory(valid, look),
    )
    return tuple(chart for chart in charts if chart)


def images(run: Run) -> dict[str, bytes]:
    """Return the main charts as file name → content, each as SVG and as PNG."""
    files = {}
    for chart in main_charts(run, summarise(run), PICTURE):
        files[f"{chart.id}.svg"] = vl_convert.vegalite_to_svg(chart.spec).encode()
        files[f"{chart.id}.png"] = vl_convert.vegalite_to_png(chart.spec, scale=PICTURE_SCALE)
    return files


def save(run: Run, folder: Path) -> tuple[Path, ...]:
    """Write the main charts into a folder, which is made, and return their files.

    Raises:
        OSError: the folder cannot be made or written.

    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in images(run).items():
        file = folder / name
        file.write_bytes(content)
        written.append(file)
    return tuple(written)
