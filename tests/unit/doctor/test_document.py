"""docs/doctor.md lists the checks and options that there are."""

from pathlib import Path

import click

from bench.cli.doctor import doctor
from bench.doctor.examine import all_checks
from bench.report import markdown
from bench.report.doctor import table_of_checks

DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "doctor.md").read_text("utf-8")


def test_the_table_of_checks_is_that_of_the_registry() -> None:
    table = table_of_checks(all_checks()) + "\n"
    assert markdown.insert(table, DOCUMENT, "checks") == DOCUMENT


def test_a_check_that_is_not_listed_would_be_seen() -> None:
    fewer = table_of_checks(all_checks()[1:]) + "\n"
    assert markdown.insert(fewer, DOCUMENT, "checks") != DOCUMENT


def test_every_option_is_explained() -> None:
    options = [each for each in doctor.params if isinstance(each, click.Option)]
    assert options
    for option in options:
        assert f"`{option.opts[0]}" in DOCUMENT, option.opts[0]
