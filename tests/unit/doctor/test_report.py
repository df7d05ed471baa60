"""The findings as text, as JSON and as SARIF."""

import io
import json
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from bench.doctor.checks import calls, databases, settings
from bench.doctor.diagnosis import Diagnosis
from bench.doctor.findings import Evidence, Finding
from bench.report.doctor import as_json, as_sarif, report, summary

ROOT = Path("/srv")
CHECKS = (calls.NO_TIMEOUT, settings.DEBUG, databases.BOUNDS_REQUESTS)
IN_A_FILE = Finding(
    calls.NO_TIMEOUT,
    "requests.get() in fetch() has none",
    (Evidence("return requests.get(URL)", "/srv/shop/my clients.py", 12),),
)
WITHOUT_A_LINE = Finding(settings.DEBUG, "app.debug is true", (Evidence("app.debug"),))
NOTE = Finding(databases.BOUNDS_REQUESTS, "15 connections", (Evidence("engine"),))
DIAGNOSIS = Diagnosis(
    "shop.wsgi:app", ROOT / "shop", Path("/srv/venv/bin/python"), "3.11.7",
    ("gevent-uwsgi", "sync-uwsgi"), 14, "/srv/shop/wsgi.py",
    (IN_A_FILE, replace(IN_A_FILE, silenced="the proxy bounds it"), WITHOUT_A_LINE, NOTE),
)  # fmt: skip


def printed(diagnosis: Diagnosis) -> str:
    console = Console(file=io.StringIO(), width=200)
    for part in report(diagnosis, ROOT):
        console.print(part, highlight=False)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_what_was_looked_at_stands_in_one_line() -> None:
    first = printed(DIAGNOSIS).splitlines()[0]
    assert first == (
        "looked at shop.wsgi:app, 14 files, under gevent-uwsgi, sync-uwsgi, Python 3.11.7 in"
        " /srv/venv/bin/python"
    )


def test_the_terminal_names_place_reason_source_and_remedy() -> None:
    text = printed(DIAGNOSIS)
    assert "warning  A call that may wait for ever  [call-without-timeout]" in text
    assert "shop/my clients.py:12: requests.get() in fetch() has none" in text
    assert "        return requests.get(URL)" in text
    flat = " ".join(text.split())
    for part in (calls.NO_TIMEOUT.why, calls.NO_TIMEOUT.source, calls.NO_TIMEOUT.fix):
        assert " ".join(part.split()) in flat
    assert "has none: the proxy bounds it" in text
    assert flat.endswith("2 warnings, 1 note; 1 silenced")


def test_nothing_found() -> None:
    nothing = replace(DIAGNOSIS, findings=())
    assert summary(nothing) == "nothing found"
    assert nothing.counted == ()


def test_notes_and_silenced_ones_do_not_count() -> None:
    assert DIAGNOSIS.counted == (IN_A_FILE, WITHOUT_A_LINE)
    assert replace(DIAGNOSIS, findings=(NOTE,)).counted == ()


def test_text_of_an_app_is_no_markup() -> None:
    odd = replace(IN_A_FILE, message="[bold]x[/bold] [/oops]")
    assert "[bold]x[/bold] [/oops]" in printed(replace(DIAGNOSIS, findings=(odd,)))


def test_what_could_not_be_looked_at_is_told() -> None:
    text = printed(replace(DIAGNOSIS, unseen=("engines: ValueError: no",)))
    assert "could not look at engines: ValueError: no" in text


def test_json() -> None:
    content = json.loads(as_json(DIAGNOSIS, ROOT))
    assert content["schema_version"] == 1
    assert content["counted"] == 2
    assert content["deployments"] == ["gevent-uwsgi", "sync-uwsgi"]
    first, second, third, _ = content["findings"]
    assert first["check"] == "call-without-timeout"
    assert first["evidence"] == [
        {"text": "return requests.get(URL)", "file": "shop/my clients.py", "line": 12}
    ]
    assert first["silenced"] is None
    assert second["silenced"] == "the proxy bounds it"
    assert third["evidence"][0]["file"] is None
    assert third["fix"] == settings.DEBUG.fix


def test_sarif() -> None:
    log = json.loads(as_sarif(DIAGNOSIS, CHECKS, ROOT))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [check.id for check in CHECKS]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"error", "warning", "note"}
        assert result["message"]["text"]
        (location,) = result["locations"]  # code scanning shows none without
        assert location["physicalLocation"]["artifactLocation"]["uri"]
    first, second, third, _ = run["results"]
    place = first["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "shop/my%20clients.py"
    assert place["region"] == {"startLine": 12}
    assert "suppressions" not in first
    assert second["suppressions"] == [{"kind": "external", "justification": "the proxy bounds it"}]
    elsewhere = third["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert elsewhere == "shop/wsgi.py"


def test_a_file_outside_of_the_folder_has_its_whole_path() -> None:
    log = json.loads(as_sarif(DIAGNOSIS, CHECKS, Path("/elsewhere")))
    place = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "file:///srv/shop/my%20clients.py"
