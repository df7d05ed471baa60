"""What events cost, as a table: in the terminal, as Markdown and as JSON."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from statistics import median

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bench.drain.model import EVENTS, LOST, DrainRun, DrainTrial, Fate
from bench.report import figures
from bench.report.markup import line, rule

TITLE = "What was lost under constant load"
NUMBERS = slice(3, 8)
"""The columns that are set to the right."""
HEADINGS = ("deployment", "event", "by", "requests", "lost", "refused", "took", "slowest")
READINESS = "/readyz"
STATES = {"up": "up", "down": "down", "refused": "refused", "lost": "no answer"}


def for_terminal(run: DrainRun) -> Iterator[RenderableType]:
    """Yield what to print."""
    yield Text(TITLE, style="bold")
    table = Table(header_style="bold", box=None, pad_edge=False)
    names = headings(run)
    for number, heading in enumerate(names):
        right = number in range(len(names))[NUMBERS]
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    last = None
    for group in groups(run):
        if group[0].deployment != last and last is not None:
            table.add_section()
        last = group[0].deployment
        table.add_row(*cells(run, group), style="bold red" if at_fault(group) else "")
    yield table
    for note in notes(run):
        yield Text(note, style="dim")
    for problem in problems(run):
        yield Text(problem, style="bold red")


def as_markdown(run: DrainRun) -> str:
    """Return it as Markdown."""
    names = headings(run)
    right = (number in range(len(names))[NUMBERS] for number in range(len(names)))
    rows = [line(cells(run, group)) for group in groups(run)]
    remarks = [f"- {each}" for each in (*notes(run), *problems(run))]
    return "\n".join([line(names), rule(right), *rows, "", *remarks, ""])


def as_json(run: DrainRun) -> str:
    """Return everything."""
    return json.dumps(dataclasses.asdict(run), indent=2, ensure_ascii=False)


def headings(run: DrainRun) -> tuple[str, ...]:
    """Return the columns' names; readiness only where the app tells of it."""
    told = any(trial.readiness for trial in run.trials)
    return (*HEADINGS, *((READINESS,) if told else ()))


def groups(run: DrainRun) -> list[list[DrainTrial]]:
    """Return the trials of each deployment and event that were carried out."""
    found: dict[tuple[str, str], list[DrainTrial]] = {}
    for trial in run.trials:
        if trial.failure is None:
            found.setdefault((trial.deployment, trial.event), []).append(trial)
    order = list(EVENTS)
    return [found[key] for key in sorted(found, key=lambda key: (key[0], order.index(key[1])))]


def cells(run: DrainRun, group: Sequence[DrainTrial]) -> list[str]:
    """Return one line: sums over the rounds, the median of how long it took."""
    first = group[0]
    took = [trial.seconds for trial in group if trial.seconds is not None]
    slowest = [trial.slowest for trial in group if trial.slowest is not None]
    row = [
        first.deployment,
        first.event,
        first.by,
        figures.count(sum(_requests(trial) for trial in group)),
        lost(group),
        figures.count(_sum(group, Fate.REFUSED)),
        figures.seconds(median(took) if took else None),
        figures.seconds(max(slowest, default=None)),
    ]
    return [*row, readiness(group)] if READINESS in headings(run) else row


def lost(group: Sequence[DrainTrial]) -> str:
    """Return how many were lost, how, and of a killed worker's how many it had."""
    total = sum(trial.lost for trial in group)
    kinds = [f"{count} {fate}" for fate in LOST if (count := _sum(group, fate))]
    own = [trial.own for trial in group if trial.own is not None]
    text = f"{total:,}" + (f" ({', '.join(kinds)})" if kinds else "")
    if own:
        text += f" of its {sum(own):,}"
    stale = _sum(group, Fate.STALE)
    return f"{text}, {stale:,} stale" if stale else text


def readiness(group: Sequence[DrainTrial]) -> str:
    """Return what the readiness check told first, and when."""
    told = [trial.readiness for trial in group if trial.readiness]
    parts = []
    for state, word in STATES.items():
        after = [each.after for each in told if each.state == state and each.after is not None]
        if state == "up" and any(each.state == "up" for each in told):
            parts.append(word)
        elif after:
            low, high = f"{min(after):.1f}", f"{max(after):.1f}"
            parts.append(f"{word} after {low if low == high else f'{low} – {high}'} s")
    return ", or ".join(parts) or figures.UNKNOWN


def at_fault(group: Sequence[DrainTrial]) -> bool:
    """Whether something was lost that need not have been."""
    return any(trial.at_fault for trial in group)


def notes(run: DrainRun) -> Iterator[str]:
    """Yield what was measured, and what the words mean."""
    load = "kept-alive connections" if run.keep_alive else "a new connection per request"
    yield f"{run.path}, {run.concurrency} clients in a closed loop, {load}; {run.machine}"
    rounds = f"{run.rounds} {'round' if run.rounds == 1 else 'rounds'}"
    yield f"requests and lost: all that were under way during the event, sums of {rounds}"
    yield "lost: unread (reset in the listen queue), cut (read, then closed), wrong, silent"
    yield "refused: nobody listened, nothing was sent; safe to try elsewhere, expected after a stop"
    for what, why in run.skipped.items():
        yield f"{what}: left out: {why}"


def problems(run: DrainRun) -> Iterator[str]:
    """Yield what was lost, and what could not be carried out."""
    for trial in run.trials:
        head = f"{trial.deployment}, {trial.event}, round {trial.round}"
        if trial.failure is not None:
            yield f"{head}: {trial.failure}"
        elif trial.at_fault:
            yield f"{head}: lost {trial.at_fault}: {'; '.join(trial.examples)}"


def outcome(trial: DrainTrial) -> str:
    """Return one line for one trial that has ended."""
    head = f"{trial.deployment}, {trial.event} by {trial.by}"
    if trial.failure is not None:
        return f"{head}: not carried out: {trial.failure}"
    return f"{head}: lost {lost([trial])} in {figures.seconds(trial.seconds)}"


def _requests(trial: DrainTrial) -> int:
    """Return how many requests were sent."""
    return sum(count for fate, count in trial.counts.items() if fate is not Fate.REFUSED)


def _sum(group: Sequence[DrainTrial], fate: Fate) -> int:
    return sum(trial.counts.get(fate, 0) for trial in group)
