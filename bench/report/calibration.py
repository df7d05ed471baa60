"""What a calibration says: plain cells, Markdown for docs/methodology.md, and JSON."""

import dataclasses
import json
from collections.abc import Iterator, Sequence

from bench.analysis.calibration import (
    MOST_FALSE,
    PROMISES,
    Calibration,
    Line,
    MetricCalibration,
    Sight,
    Tally,
)
from bench.analysis.stats import DECISION_CONFIDENCE, POWER
from bench.model import Run
from bench.report import figures
from bench.report.markup import escaped, line, rule


def title(found: MetricCalibration) -> str:
    """Return what one table is about."""
    return f"{found.metric.title}: noise {found.noise:.1%} from round to round"


def headings(found: MetricCalibration) -> list[str]:
    """Return the headings of one metric's table."""
    slowed = [f"+{handicap:.0%} CPU found" for handicap in _handicaps(found)]
    return ["rounds", "same: called different", *slowed, "same, one run after another", "visible"]


def cells(found: MetricCalibration) -> Iterator[list[str]]:
    """Yield the rows: of blocks ``hits/comparisons``, in brackets the share among those drawn."""
    for each in found.lines:
        yield [
            f"{each.rounds}{' ✓' if each.keeps_promises else ''}",
            _sight(each.false),
            *(_sight(each.found.get(handicap)) for handicap in _handicaps(found)),
            _tally(each.apart),
            f"{each.visible:.1%}",
        ]


def remarks(found: MetricCalibration) -> Iterator[str]:
    """Yield what the handicaps truly did, and the rounds that it takes."""
    for handicap, effect in sorted(found.effects.items()):
        what = f"+{handicap:.0%} CPU" if handicap else "the same again"
        span = effect.interval
        yield (
            f"{what}: over all {effect.samples} rounds {effect.value:.3f}×"
            f" ({span.low:.3f} to {span.high:.3f})"
        )
    yield needed(found)


def needed(found: MetricCalibration) -> str:
    """Say how many rounds keep the promises."""
    calculated = ", ".join(
        f"{handicap:.0%} in {share:.0%} of comparisons: {_rounds(found.calculated[handicap])}"
        for handicap, share in PROMISES.items()
    )
    tried = f"{found.needed} rounds" if found.needed else "more rounds than this run can show"
    return f"needed: {tried}; by calculation from the noise, for {calculated}"


def as_markdown(run: Run, calibration: Calibration) -> str:
    """Return the tables with their machine and method, for a document."""
    machine = run.machine
    lines = [
        f"Run {run.id}: {calibration.rounds} rounds of {run.workload.name}"
        f" on {machine.cores} × {escaped(machine.cpu)}, {machine.memory_bytes / 1024**3:.0f} GiB,"
        f" {escaped(machine.system)}, Linux {escaped(machine.kernel)}.",
        *(f"{escaped(note[0].upper() + note[1:])}." for note in run.notes),
        "",
        *legend(),
    ]
    for found in calibration.metrics:
        lines += ["", f"**{title(found)}**", "", line(headings(found))]
        lines.append(rule(True for _ in headings(found)))
        lines += [line(row) for row in cells(found)]
        lines += ["", *(f"- {escaped(remark)}" for remark in remarks(found))]
    return "\n".join(lines) + "\n"


def legend() -> Sequence[str]:
    """Return how to read a table."""
    promises = ", ".join(f"+{h:.0%} in {share:.0%}" for h, share in PROMISES.items())
    return (
        f"Different means that the {DECISION_CONFIDENCE:.0%} interval of the ratio excludes 1, the"
        " ratio paired by round. First the comparisons of consecutive rounds, each round used once;"
        " in brackets the share among comparisons whose rounds were drawn from all.",
        "One run after another: the same, not paired, from two stretches of time.",
        f"Visible: the effect that is found in {POWER:.0%} of comparisons, calculated from the"
        f" noise. ✓: different in at most {MOST_FALSE:.0%} where there is none, and found:"
        f" {promises}.",
    )


def as_json(calibration: Calibration) -> str:
    """Return the tables for other programs."""
    return json.dumps(
        {
            "rounds": calibration.rounds,
            "metrics": {found.metric.name: _plain(found) for found in calibration.metrics},
        },
        indent=1,
    )


def _plain(found: MetricCalibration) -> dict[str, object]:
    return {
        "noise": found.noise,
        "needed_rounds": found.needed,
        "calculated_rounds": {f"{h:g}": rounds for h, rounds in found.calculated.items()},
        "effects": {
            f"{h:g}": [effect.value, effect.interval.low, effect.interval.high]
            for h, effect in found.effects.items()
        },
        "lines": [_plain_line(each) for each in found.lines],
    }


def _plain_line(each: Line) -> dict[str, object]:
    return dataclasses.asdict(each) | {
        "found": {
            f"{h:g}": dataclasses.asdict(sight) if sight else None
            for h, sight in each.found.items()
        },
        "keeps_promises": each.keeps_promises,
    }


def _handicaps(found: MetricCalibration) -> list[float]:
    return sorted(handicap for handicap in found.effects if handicap)


def _sight(sight: Sight | None) -> str:
    if sight is None:
        return figures.UNKNOWN
    return f"{_tally(sight.blocks)} ({sight.drawn:.0%})"


def _tally(tally: Tally) -> str:
    return f"{tally.hits}/{tally.of}" if tally.of else figures.UNKNOWN


def _rounds(rounds: int | None) -> str:
    return figures.UNKNOWN if rounds is None else str(rounds)
