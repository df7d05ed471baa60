import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.model import Run
from bench.report import html
from bench.report.html import content_policy, run_report
from tests.unit.factories import (
    a_deployment,
    a_failed_trial,
    a_measurement,
    a_run,
    a_trial,
    a_usage,
    a_workload,
)

HOSTILE = """</script><script>document.title='x'</script><img src=x onerror="alert(1)">'"&"""
LIMIT = 2 * 1024 * 1024
VOID = {"meta", "link", "input", "br", "img", "hr", "line"}


class Outline(HTMLParser):
    """Elements and texts of a page, and whether every element was closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.misplaced: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.misplaced.append(tag)

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in {"script", "style"}:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def outline(run: Run, folder: Path | None = None) -> Outline:
    return Outline(run_report(run, folder))


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def rounds_of(name: str, *rates: float) -> list[Any]:
    return [
        a_trial(name, round=n, folder=f"0{n}-{name}", measurement=a_measurement(rate))
        for n, rate in enumerate(rates, 1)
    ]


class TestPage:
    def test_holds_what_was_measured(self) -> None:
        text = outline(a_run(a_trial("one"), a_failed_trial("two", "it never came up"))).text
        for part in ("one", "180.0", "it never came up", "Imaginary 9000", "flask-bench run"):
            assert part in text

    @pytest.mark.parametrize(
        "run",
        [
            a_run(),
            a_run(a_trial()),
            a_run(a_failed_trial()),
            a_run(a_trial("one"), a_trial("two"), a_failed_trial("three"), notes=("a note",)),
            a_run(a_trial(measurement=a_measurement(latency=None), usage={}, surroundings=None)),
            a_run(a_trial(commands={}, environment={}), skipped={"db": "no database"}),
            a_run(a_trial(), workload=a_workload(delay=0.0), status="interrupted", finished=None),
        ],
    )
    def test_is_well_formed_and_small_whatever_the_run(self, run: Run) -> None:
        page = run_report(run, None)
        seen = Outline(page)
        assert seen.misplaced == []
        assert seen.open == []
        assert len(page.encode()) < LIMIT
        ids = [attributes["id"] for _, attributes in seen.elements if "id" in attributes]
        assert len(ids) == len(set(ids))
        links = [a["href"] for tag, a in seen.elements if tag == "a" and a["href"]]
        assert {link.removeprefix("#") for link in links} <= set(ids)

    def test_one_h1_and_no_level_skipped(self) -> None:
        page = outline(a_run(a_trial("one"), a_failed_trial("two")))
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
        assert levels.count(1) == 1
        assert levels[0] == 1
        assert all(b <= a + 1 for a, b in pairwise(levels))

    def test_every_chart_has_words_and_every_table_a_caption(self) -> None:
        page = outline(a_run(a_trial("one"), a_trial("two")))
        charts = [a for _, a in page.elements if a.get("class") == "chart"]
        assert charts
        assert all(a["role"] == "img" and a["aria-label"] for a in charts)
        assert page.count("table") == page.count("caption") > 0
        heads = [a for tag, a in page.elements if tag == "th"]
        assert all(a.get("scope") in {"col", "row"} for a in heads)


class TestForeignText:
    def test_stays_text_wherever_it_comes_from(self) -> None:
        trial = a_trial(
            a_deployment(HOSTILE, title=HOSTILE, server=HOSTILE, copy=(HOSTILE,)),
            folder=HOSTILE,
            commands={HOSTILE: (HOSTILE,)},
            environment={HOSTILE: HOSTILE},
        )
        run = a_run(
            trial,
            a_failed_trial("bad", f"{HOSTILE}\n{HOSTILE}"),
            id=HOSTILE,
            notes=(HOSTILE,),
            skipped={HOSTILE: HOSTILE},
            command=(HOSTILE,),
            app=HOSTILE,
            workload=replace(a_workload(HOSTILE), purpose=HOSTILE, path=HOSTILE),
        )
        harmless, hostile = outline(a_run(a_trial(), a_failed_trial("bad"))), outline(run)
        assert hostile.misplaced == []
        assert hostile.count("script") == harmless.count("script")
        assert hostile.count("img") == 0
        assert not any(name.startswith("on") for _, a in hostile.elements for name in a)

    @given(st.text(max_size=60))
    @settings(max_examples=25, deadline=None)
    def test_any_name_and_reason_come_through_unchanged(self, text: str) -> None:
        page = run_report(a_run(a_trial(text), a_failed_trial("bad", text)), None)
        assert Outline(page).misplaced == []
        ranking = data_of(page)["charts"]["ranking"]
        found = [part.get("data", {}).get("values", []) for part in (ranking, *ranking["layer"])]
        assert {row["deployment"] for rows in found for row in rows} == {text}

    def test_files_outside_of_the_checkouts_folders_are_not_shown(self) -> None:
        copy = ("/etc/passwd", "../../../etc/passwd", "flask_app/../pyproject.toml", "nginx/\0")
        text = outline(a_run(a_trial(a_deployment(copy=copy)))).text
        assert "root:" not in text
        assert "requires-python" not in text
        assert text.count("This checkout does not have it.") == len(copy)

    def test_files_to_copy_are_shown(self) -> None:
        text = outline(a_run(a_trial(a_deployment(copy=("flask_app/uwsgi_gevent.ini",))))).text
        assert "[uwsgi]" in text

    def test_samples_outside_of_the_runs_folder_are_not_read(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "run").mkdir()
        samples = "seconds,role,cpu_seconds,threads\n0,server,0,7\n"
        (tmp_path / "elsewhere" / "samples.csv").write_text(samples)
        page = run_report(a_run(a_trial(folder="../elsewhere")), tmp_path / "run")
        assert data_of(page)["recordings"] == {}

    def test_a_long_reason_keeps_its_beginning_and_its_end(self) -> None:
        reason = "it began\n" + "x" * 100_000 + "\nit ended"
        page = run_report(a_run(a_failed_trial(failure=reason)), None)
        assert "it began" in page
        assert "it ended" in page
        assert "characters left out" in page
        assert "x" * 5000 not in page


class TestNothingIsLoaded:
    def test_no_address_outside_of_code(self) -> None:
        page = run_report(a_run(a_trial()), None)
        seen = Outline(page)
        sources = [a.get("src") or a.get("href") or "" for _, a in seen.elements]
        assert {s.split(":")[0] for s in sources if ":" in s} <= {"data"}
        assert "@import" not in page

    def test_the_policy_allows_the_pages_own_scripts_alone(self) -> None:
        page = run_report(a_run(a_trial()), None)
        scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
        assert len(scripts) == 2
        policy = content_policy(scripts)
        assert "default-src 'none'" in policy
        assert "unsafe-eval" not in policy
        metas = [a["content"] for tag, a in Outline(page).elements if "http-equiv" in a]
        assert metas == [policy]

    def test_the_library_cannot_end_its_element(self) -> None:
        assert "</script" not in html.vega().lower()


class TestTimelines:
    def folder(self, path: Path, rounds: int, names: int, samples: int) -> Run:
        trials = []
        roles = ("server", "nginx", "api", "postgres", "client", "harness")
        lines = [
            f"{n / 5},{role},{n / 7:.3f},{n % 40},5,{10**8 + n},{n},{n}"
            for n in range(samples)
            for role in roles
        ]
        columns = "seconds,role,cpu_seconds,threads,processes,memory_bytes,open_files,connections"
        text = "\n".join([columns, *lines])
        for number in range(1, rounds + 1):
            for name in (f"deployment-number-{n}" for n in range(names)):
                folder = path / f"{number:02}-{name}"
                folder.mkdir()
                (folder / "samples.csv").write_text(text)
                trials.append(a_trial(name, round=number, folder=folder.name))
        return a_run(*trials, rounds=rounds)

    def test_of_each_trial_and_role(self, tmp_path: Path) -> None:
        data = data_of(run_report(self.folder(tmp_path, 2, 2, 30), tmp_path))
        assert len(data["recordings"]) == 4
        roles = data["recordings"]["01-deployment-number-0"]
        assert list(roles) == data["roles"]
        assert max(roles["server"]["threads"]) == 29

    @pytest.mark.parametrize(("rounds", "names"), [(5, 10), (20, 10)])
    def test_however_many_there_are_the_page_stays_small(
        self, tmp_path: Path, rounds: int, names: int
    ) -> None:
        page = run_report(self.folder(tmp_path, rounds, names, 300), tmp_path)
        assert len(page.encode()) < LIMIT
        data = data_of(page)
        assert max(max(r["server"]["threads"]) for r in data["recordings"].values()) == 39

    def test_a_thousand_trials_that_failed_each_in_its_own_way(self) -> None:
        usage = {role: a_usage() for role in ("server", "nginx", "api", "postgres", "client")}
        trials = [a_trial(f"one-{n % 10}", round=n // 10, usage=usage) for n in range(500)]
        trials += [
            a_failed_trial(f"two-{n % 10}", f"reason {n}\n" + "log line\n" * 1000, round=n // 10)
            for n in range(500)
        ]
        page = run_report(a_run(*trials, rounds=50), None)
        assert len(page.encode()) < LIMIT
        assert "the last 800 trials are in run.json alone" in page

    def test_none_without_a_folder(self) -> None:
        page = run_report(a_run(a_trial()), None)
        assert data_of(page)["recordings"] == {}
        assert 'id="timeline"' not in page


class TestHeadline:
    def said(self, run: Run) -> str:
        page = run_report(run, None)
        found = re.search(r"<h1>(.*?)</h1>.*?(<ul class=\"caveats\".*?</ul>|<p)", page, re.DOTALL)
        assert found
        return Outline(found[0]).text

    def test_one_round_says_so(self) -> None:
        run = a_run(a_trial("one"), a_trial("two", measurement=a_measurement(100.0)))
        assert "one answered most" in self.said(run)
        assert "1 round: no uncertainty known" in self.said(run)

    def test_a_winner_is_named_with_an_interval(self) -> None:
        slow = rounds_of("slow", 100.0, 101, 99, 100, 102)
        fast = rounds_of("fast", 150.0, 152, 149, 151, 153)
        trials = (*slow, *fast)
        said = self.said(a_run(*trials, rounds=5, workload=a_workload("busy", delay=0.0)))
        assert re.search(r"fast is fastest: 1\.(49|50)–1\.5\d× slow\.", said)
        assert "uncertainty" not in said

    def test_ties_are_told(self) -> None:
        one = rounds_of("one", 100.0, 110, 95, 105, 99)
        two = rounds_of("two", 101.0, 104, 99, 103, 102)
        said = self.said(a_run(*one, *two, rounds=5, workload=a_workload("busy", delay=0.0)))
        assert "two and one can't be told apart by these 5 rounds" in said

    def test_at_the_ceiling_the_workload_is_told_to_tell_nothing(self) -> None:
        said = self.said(a_run(a_trial("one"), a_trial("two")))
        assert "This workload does not tell these servers apart" in said
        assert "use WORKLOAD=busy" in said

    def test_nothing_valid(self) -> None:
        said = self.said(a_run(a_failed_trial("one")))
        assert "nothing to rank" in said

    def test_another_load_and_missing_trials_are_told(self) -> None:
        small = a_trial("small", load=a_workload().load.__class__(5, requests=10))
        run = a_run(a_trial("one"), small, planned=((1, "one"), (1, "small"), (1, "three")))
        assert "small had another one" in self.said(run)
        assert "1 of 3 trials are missing" in self.said(run)
