"""The reports show what a container costs where a run knows it, and only there."""

from dataclasses import replace

from bench.report import html, markdown, terminal
from tests.unit.factories import a_deployment, a_run, a_trial

BARE = a_deployment("gevent-uwsgi")
BOTH = a_run(a_trial(BARE), a_trial(replace(BARE, name="gevent-uwsgi@compose", runner="compose")))
ALONE = a_run(a_trial(BARE))
TITLE = "What the container costs"


def test_markdown() -> None:
    assert TITLE in markdown.run_report(BOTH)
    assert "| gevent-uwsgi | 1.00× |" in markdown.run_report(BOTH)
    assert TITLE not in markdown.run_report(ALONE)


def test_terminal() -> None:
    assert TITLE in map(str, terminal.run_report(BOTH))
    assert TITLE not in map(str, terminal.run_report(ALONE))


def test_html() -> None:
    page = html.run_report(BOTH, None)
    assert 'id="table-containers"' in page
    assert '<a href="#containers">' in page
    assert "#containers" not in html.run_report(ALONE, None)
