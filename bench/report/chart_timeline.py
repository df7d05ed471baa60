"""A trial as it went by: one chart per figure, one line per role. The page puts the data in."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import altair as alt

from bench.model import Run
from bench.report.chart_parts import Chart
from bench.report.chart_style import DASHES, Look, Spec, config
from bench.report.grids import trial_name
from bench.report.timeline import ROLES, Moment, Timeline, read_timelines, thinned

HEIGHT = 170
MIB = 1024**2
MOST_VALUES = 60_000
"""Numbers that all timelines of a page may hold: about 350 kB of its 2 MB."""
MOST_MOMENTS, FEWEST_MOMENTS = 150, 24
"""Of one line: more is not seen, and less is no line."""


@dataclass(frozen=True)
class Figure:
    """One figure of the samples."""

    id: str
    title: str
    unit: str


FIGURES = (
    Figure("cpu", "CPU", "busy cores"),
    Figure("threads", "Threads", "threads"),
    Figure("memory", "Memory", "MiB, shared pages counted once"),
    Figure("connections", "Connections", "TCP connections"),
)

Columns = dict[str, list[float | None]]
"""Figure → its values, and ``t`` → their seconds."""


@dataclass(frozen=True)
class Recording:
    """A trial as the page plays it."""

    id: str
    title: str
    deployment: str
    roles: dict[str, Columns]


def timeline_charts(look: Look) -> tuple[Chart, ...]:
    """Return a chart per figure; the page fills its ``moments`` with ``t``, ``role``, ``value``."""
    return tuple(
        Chart(
            f"timeline-{figure.id}",
            figure.title,
            figure.unit,
            f"Line chart of {figure.title} ({figure.unit}) over a trial, one line per role.",
            _spec(figure, look),
        )
        for figure in FIGURES
    )


def recordings(run: Run, folder: Path, order: Sequence[str]) -> tuple[Recording, ...]:
    """Return the timelines of a run's trials, as many and as fine as a page can hold.

    Of very many trials, those of the last rounds are left out. ``order``: the deployments, in the
    order in which their trials are offered.
    """
    most = MOST_VALUES // (FEWEST_MOMENTS * len(ROLES) * (len(FIGURES) + 1))
    trials = run.trials[:most]
    each = MOST_VALUES // max(1, len(trials) * len(ROLES) * (len(FIGURES) + 1))
    moments = max(FEWEST_MOMENTS, min(MOST_MOMENTS, each))
    found = []
    for trial in trials:
        own = (folder / trial.folder).resolve()
        if own.is_relative_to(folder.resolve()):
            roles = {
                t.role: _columns(thinned(t, moments))
                for t in read_timelines(own)
                if t.role in ROLES
            }
            found.append(Recording(trial.folder, trial_name(trial), trial.deployment.name, roles))
    found.sort(key=lambda recording: order.index(recording.deployment))
    return tuple(recording for recording in found if recording.roles)


def _columns(timeline: Timeline) -> Columns:
    """Return a role's moments as the page gets them: rounded, because nobody sees more."""
    moments = timeline.moments
    return {
        "t": [round(m.seconds, 2) for m in moments],
        "cpu": [_rounded(m.cpu_cores, 3) for m in moments],
        "threads": [m.threads for m in moments],
        "memory": [_mebibytes(m) for m in moments],
        "connections": [m.connections for m in moments],
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _mebibytes(moment: Moment) -> float | None:
    return None if moment.memory_bytes is None else round(moment.memory_bytes / MIB, 1)


def _spec(figure: Figure, look: Look) -> Spec:
    base = alt.Chart(alt.NamedData(name="moments")).encode(
        x=alt.X(
            "t:Q",
            title="seconds",
            axis=alt.Axis(tickCount=6, grid=False),
            scale=alt.Scale(zero=True, nice=False),
        ),
        y=alt.Y("value:Q", title=None, axis=alt.Axis(tickCount=4), scale=alt.Scale(zero=True)),
        color=alt.Color(
            "role:N", legend=None, scale=alt.Scale(domain=list(ROLES), range=list(look.roles))
        ),
    )
    near = alt.selection_point(
        name="near",
        nearest=True,
        on="pointerover",
        fields=["t", "role"],
        empty=False,
        clear="pointerout",
    )
    line = base.mark_line(size=2, interpolate="linear").encode(
        strokeDash=alt.StrokeDash(
            "role:N", legend=None, scale=alt.Scale(domain=list(ROLES), range=list(DASHES))
        )
    )
    points = (
        base.mark_point(filled=True, size=60)
        .encode(
            opacity=alt.condition(near, alt.value(1), alt.value(0)),
            tooltip=[
                alt.Tooltip("role:N"),
                alt.Tooltip("t:Q", title="seconds", format=".1f"),
                alt.Tooltip("value:Q", title=figure.unit, format=",~r"),
            ],
        )
        .add_params(near)
    )
    chart = alt.layer(line, points).properties(width=look.width or "container", height=HEIGHT)
    spec: Spec = chart.to_dict()
    spec["config"] = config(look)
    spec["autosize"] = {"type": "pad" if look.width else "fit-x", "contains": "padding"}
    return spec
