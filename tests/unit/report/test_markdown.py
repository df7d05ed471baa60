import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UsageError
from bench.report.markdown import insert, marks, run_report
from tests.unit.factories import a_deployment, a_failed_trial, a_run, a_trial, a_workload

BEGIN, END = marks("api")
REPORT = "the report\n"


def rows_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def cells_of(row: str) -> list[str]:
    return re.split(r"(?<!\\)\|", row.strip().strip("|"))


class TestTable:
    def test_a_row_per_deployment_under_heading_and_rule(self) -> None:
        rows = rows_of(run_report(a_run(a_trial("fast"), a_trial("other"), a_failed_trial("bad"))))
        assert len(rows) == 5
        assert len({len(cells_of(row)) for row in rows}) == 1
        assert set(rows[1]) <= set("| :-")
        assert [cells_of(row)[0].strip() for row in rows[2:]] == ["fast", "other", "bad"]

    def test_a_failed_trial_shows_its_reason_and_no_number(self) -> None:
        text = run_report(a_run(a_failed_trial("devserver", "it never came up")))
        (row,) = [row for row in rows_of(text) if "devserver" in row]
        numbers = [cell for cell in cells_of(row) if re.search(r"\d", cell)]
        assert [cell.strip() for cell in numbers] == ["4 × 2000"]
        assert "- **devserver: it never came up**" in text

    def test_notes_and_problems_are_lists(self) -> None:
        text = run_report(a_run(a_trial(), skipped={"nginx-uwsgi": "nginx is not installed"}))
        assert "\n- ab 2.3, " in text
        assert "\n- **nginx-uwsgi: skipped: nginx is not installed**" in text
        assert text.endswith("\n")


class TestEscapes:
    NASTY = "a|b <script>alert(1)</script> & *bold* _it_ `code` [link](x) \\ back\nnext line"

    def test_foreign_text_is_no_markup(self) -> None:
        text = run_report(
            a_run(
                a_trial(a_deployment("one|two")),
                a_failed_trial(failure=self.NASTY),
                workload=a_workload(purpose=self.NASTY),
                skipped={"other": self.NASTY},
                notes=(self.NASTY,),
            )
        )
        assert "<script" not in text
        assert text.count("&lt;script>") >= 4
        assert not re.search(r"(?<!\\)`", text)
        assert not re.search(r"(?<!\\)\[link", text)
        assert not re.search(r"(?<!\\)_it", text)
        assert not re.search(r"(?<!\\)\*bold", text)
        assert r"one\|two" in text
        assert len({len(cells_of(row)) for row in rows_of(text)}) == 1
        assert not any(line.startswith("next line") for line in text.splitlines())

    @given(st.text(max_size=60))
    def test_a_reason_stays_in_its_line(self, reason: str) -> None:
        text = run_report(a_run(a_failed_trial("devserver", reason or "x")))
        plain = run_report(a_run(a_failed_trial("devserver", "x")))
        assert len(re.split(r"\r\n|\r|\n", text)) == len(plain.split("\n"))
        assert len(rows_of(text)) == 3


class TestInsert:
    def test_between_the_marks(self) -> None:
        document = f"before\n{BEGIN}\nold\nolder\n{END}\nafter\n"
        assert insert(REPORT, document, "api") == f"before\n{BEGIN}\nthe report\n{END}\nafter\n"

    def test_a_second_time_changes_nothing(self) -> None:
        once = insert(REPORT, f"{BEGIN}\n{END}\n", "api")
        assert insert(REPORT, once, "api") == once

    @pytest.mark.parametrize("document", ["", BEGIN, END, f"{END}\n{BEGIN}\n"])
    def test_without_both_marks_in_order(self, document: str) -> None:
        with pytest.raises(UsageError, match="no lines <!-- results of api: begin -->"):
            insert(REPORT, document, "api")
