"""What the numbers of a probe mean; test_doctor_blocking.py takes them of real apps."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.doctor.blocking.judge import judge, judge_silence
from bench.doctor.blocking.observed import Answer, Block, Observed, Opened, Snapshot, snapshot
from bench.doctor.findings import Finding

HERE = Path("/nowhere")
PLACE = ("shop.py", 7, "buy")
QUIET = Snapshot(cpu=1.0, queued=0.0, threads=3, files={"socket": 4}, blocks=(), opened=())
FINE = Observed(
    url_path="/buy",
    alone=(Answer(200, None, 0.1),) * 10,
    together=(Answer(200, None, 0.1),) * 8,
    together_seconds=0.12,
    before=QUIET,
    after_alone=QUIET,
    after=QUIET,
)


def found(observed: Observed) -> dict[str, Finding]:
    return {finding.check.id: finding for finding in judge(observed, HERE)}


def blocked(*blocks: Block) -> Observed:
    return replace(FINE, after=replace(QUIET, blocks=blocks))


def opened(*each: Opened) -> Observed:
    return replace(FINE, after_alone=replace(QUIET, opened=each))


def test_nothing_is_found_where_nothing_is() -> None:
    assert found(FINE) == {}


@pytest.mark.parametrize(
    ("blocks", "check"),
    [
        ([Block(0.2, 0.0, PLACE), Block(0.2, 0.01, PLACE)], "loop-waits"),
        ([Block(0.2, 0.19, PLACE), Block(0.3, 0.3, PLACE)], "loop-computes"),
        ([Block(0.6, 0.0, None)], "loop-waits"),
        # once and short: a busy machine does that, too
        ([Block(0.2, 0.0, PLACE)], None),
        ([Block(0.2, 0.0, PLACE), Block(0.2, 0.0, ("other.py", 1, "f"))], None),
    ],
)
def test_blocks(blocks: Sequence[Block], check: str | None) -> None:
    assert list(found(blocked(*blocks))) == ([check] if check else [])


def test_a_block_is_told_with_its_line_and_its_length() -> None:
    finding = found(blocked(*(Block(0.25, 0.0, PLACE),) * 3))["loop-waits"]
    assert finding.message == (
        "buy() at shop.py:7 blocked the loop 3 times, for up to 0.25 s (0% of it computing)"
    )
    assert (finding.evidence[0].file, finding.evidence[0].line) == ("/nowhere/shop.py", 7)


@pytest.mark.parametrize(("seconds", "serial"), [(0.81, True), (0.58, True), (0.4, False)])
def test_served_one_after_the_other(seconds: float, serial: bool) -> None:
    assert ("serialised" in found(replace(FINE, together_seconds=seconds))) is serial


def test_lines_of_one_function_are_one_thing() -> None:
    lines = [Block(0.2, 0.2, ("shop.py", line, "buy")) for line in (7, 8, 8)]
    (finding,) = judge(blocked(*lines), HERE)
    assert finding.message.startswith("buy() at shop.py:8 blocked the loop 3 times")


def test_requests_that_take_no_time_are_not_called_serial() -> None:
    fast = (Answer(200, None, 0.004),) * 10
    assert found(replace(FINE, alone=fast, together_seconds=0.032)) == {}


def test_the_remedy_depends_on_whether_it_computes() -> None:
    serial = replace(FINE, together_seconds=0.8)
    assert "wait for in turn" in found(serial)["serialised"].fix
    busy = replace(serial, after=replace(QUIET, cpu=1.7))
    assert "one per core" in found(busy)["serialised"].fix
    # the machine had a core for it for half of the time only
    crowded = replace(serial, after=replace(QUIET, cpu=1.35, queued=0.4))
    assert "one per core" in found(crowded)["serialised"].fix


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("database", "database-connection-per-request"),
        ("connection", "outgoing-connection-per-request"),
        ("process", "process-per-request"),
    ],
)
def test_what_is_opened_per_request(kind: str, check: str) -> None:
    assert list(found(opened(Opened(kind, "there", PLACE, 10)))) == [check]
    assert found(opened(Opened(kind, "there", PLACE, 7))) == {}
    two = (Opened(kind, "there", PLACE, 5), Opened(kind, "elsewhere", None, 5))
    assert "10 " in found(opened(*two))[check].message


def test_threads_and_descriptors_that_stay() -> None:
    more = replace(QUIET, threads=13, files={"socket": 4, "/var/log/shop": 20})
    grown = found(replace(FINE, after_alone=more))
    assert set(grown) == {"thread-per-request", "files-left-open"}
    assert grown["files-left-open"].evidence[0].text == "20 × /var/log/shop"
    less = replace(QUIET, threads=10, files={"socket": 11})
    assert found(replace(FINE, after_alone=less)) == {}


def test_answers_that_prove_little() -> None:
    answers = (*FINE.alone[:9], Answer(503, None, 0.1))
    finding = found(replace(FINE, alone=answers))["probe-status"]
    assert finding.message.startswith("1 of 18 answers had status 503")


def test_silence_is_blamed_on_what_is_known_to_block() -> None:
    assert [f.check.id for f in judge_silence("/", "timed out", None, HERE)] == ["probe-no-answer"]
    stuck = Block(4.0, 3.9, PLACE)
    known = judge_silence("/", "timed out", stuck, HERE)
    assert [f.check.id for f in known] == ["probe-no-answer", "loop-computes"]
    assert "4.0 s" in known[1].message


def test_what_the_served_process_tells() -> None:
    told = {
        "cpu": 0.5,
        "queued": 0.25,
        "threads": 2,
        "files": {"pipe": 1},
        "blocks": [{"seconds": 0.2, "cpu": 0.1, "place": ["shop.py", 7, "buy"]}],
        "opened": [["database", "db:5432", None, 3]],
    }
    assert snapshot(told) == Snapshot(
        0.5,
        0.25,
        2,
        {"pipe": 1},
        (Block(0.2, 0.1, PLACE),),
        (Opened("database", "db:5432", None, 3),),
    )


def test_blocks_that_nobody_saw_are_told_only_where_there_are_no_others() -> None:
    unseen = Block(0.6, 0.6, None)
    assert found(blocked(unseen, unseen))["loop-computes"].message.startswith("something blocked")
    (finding,) = judge(blocked(unseen, *(Block(0.6, 0.6, PLACE),) * 2), HERE)
    assert finding.message.startswith("buy() at shop.py:7")
