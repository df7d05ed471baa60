"""The table of what was lost."""

import json

from rich.console import Console

from bench.drain.model import DrainRun, DrainTrial, Fate, Readiness
from bench.report import drain as text


def a_trial(deployment: str = "sync-uwsgi", event: str = "stop", **fields: object) -> DrainTrial:
    counts = {Fate.ANSWERED: 380, Fate.REFUSED: 60}
    known: dict[str, object] = {
        "round": 1, "by": "SIGTERM", "counts": counts, "in_flight": 200, "seconds": 1.0,
        "slowest": 1.5, "readiness": Readiness("refused", 0.1),
    }  # fmt: skip
    return DrainTrial(deployment, event, **known | fields)  # type: ignore[arg-type]


def a_run(*trials: DrainTrial, keep_alive: bool = False) -> DrainRun:
    return DrainRun(
        ("flask-bench", "drain"), "4 × CPU", "/?delay=1", 200, keep_alive, 3, 1, trials,
        {"gevent-pywsgi: recycle": "it has no workers"},
    )  # fmt: skip


CLEAN = a_run(a_trial(), a_trial(round=2, seconds=3.0, readiness=Readiness("refused", 0.4)))
LOSS = a_trial(counts={Fate.ANSWERED: 200, Fate.UNREAD: 7, Fate.CUT: 1}, examples=("7 unread: x",))


def printed(run: DrainRun) -> str:
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    with console.file:
        for part in text.for_terminal(run):
            console.print(part)
    return console.export_text()


def test_rounds_are_added_up() -> None:
    (group,) = text.groups(CLEAN)
    assert text.cells(CLEAN, group) == [
        "sync-uwsgi", "stop", "SIGTERM", "760", "0", "120", "2.00 s", "1.50 s",
        "refused after 0.1 – 0.4 s",
    ]  # fmt: skip
    assert list(text.problems(CLEAN)) == []


def test_what_was_lost_is_said_with_its_kinds_and_its_round() -> None:
    run = a_run(LOSS)
    assert text.lost([LOSS]) == "8 (7 unread, 1 cut)"
    assert list(text.problems(run)) == ["sync-uwsgi, stop, round 1: lost 8: 7 unread: x"]


def test_what_a_killed_worker_lost_is_set_against_what_it_had() -> None:
    killed = a_trial(event="kill", counts={Fate.CUT: 48}, own=50)
    assert text.lost([killed, killed]) == "96 (96 cut) of its 100"
    assert list(text.problems(a_run(killed))) == []


def test_an_app_without_a_readiness_check_has_no_column_for_it() -> None:
    run = a_run(a_trial(readiness=None))
    assert "/readyz" in text.headings(CLEAN)
    assert "/readyz" not in text.headings(run)
    (group,) = text.groups(run)
    assert len(text.cells(run, group)) == len(text.headings(run))


def test_a_trial_that_was_not_carried_out_is_a_problem_and_no_line() -> None:
    run = a_run(a_trial(failure="it did not start", counts={}))
    assert text.groups(run) == []
    assert list(text.problems(run)) == ["sync-uwsgi, stop, round 1: it did not start"]
    assert text.outcome(run.trials[0]).endswith("not carried out: it did not start")


def test_the_terminal_and_markdown_show_the_same() -> None:
    run = a_run(a_trial(), a_trial("gevent-uwsgi", "kill"), a_trial("gevent-uwsgi"))
    markdown, terminal = text.as_markdown(run), printed(run)
    for group in text.groups(run):
        for cell in text.cells(run, group):
            assert cell in terminal
            assert cell in markdown
    assert markdown.index("gevent-uwsgi | stop") < markdown.index("gevent-uwsgi | kill")
    assert markdown.index("gevent-uwsgi | kill") < markdown.index("sync-uwsgi")
    assert "it has no workers" in terminal


def test_json_has_everything() -> None:
    content = json.loads(text.as_json(a_run(LOSS)))
    assert content["trials"][0]["counts"]["unread"] == 7
    assert content["concurrency"] == 200
