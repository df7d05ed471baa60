"""Silencing: by option, by a comment beside the line, and never without a reason."""

from pathlib import Path

import pytest

from bench.doctor.checks import calls
from bench.doctor.findings import Evidence, Finding
from bench.doctor.silence import Ignored, comments_of, from_options, silenced
from bench.errors import UsageError

KNOWN = ("call-without-timeout", "call-without-pool", "thread-at-import")
CHECK = calls.NO_TIMEOUT


def written(folder: Path, text: str, name: str = "shop.py") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def finding(file: Path, line: int) -> Finding:
    return Finding(CHECK, "requests.get() has none", (Evidence("…", str(file), line),))


def test_a_comment_on_the_line(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "a = 1\n"
        "requests.get(URL)  # doctor: ignore[call-without-timeout] the proxy bounds it\n"
        "requests.get(URL)\n",
    )
    comments = comments_of(file, KNOWN)
    assert comments == (Ignored(CHECK.id, str(file), 2, "the proxy bounds it"),)
    shown = silenced([finding(file, 2), finding(file, 3)], {}, comments)
    assert [each.silenced for each in shown] == ["the proxy bounds it", None]


@pytest.mark.parametrize("name", ["shop.py", "shop.service"])
def test_a_comment_behind_that_of_another_tool(tmp_path: Path, name: str) -> None:
    line = "get(URL)  # noqa: S113  # doctor: ignore[call-without-timeout] the proxy bounds it\n"
    (found,) = comments_of(written(tmp_path, line, name), KNOWN)
    assert (found.line, found.reason) == (1, "the proxy bounds it")


def test_a_comment_above_the_line_and_several_checks(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "# doctor: ignore[call-without-timeout, call-without-pool] once a day\nrequests.get(URL)\n",
    )
    assert [(each.check, each.line) for each in comments_of(file, KNOWN)] == [
        ("call-without-timeout", 2), ("call-without-pool", 2),
    ]  # fmt: skip


def test_a_comment_for_another_check_silences_nothing(tmp_path: Path) -> None:
    file = written(tmp_path, "get(URL)  # doctor: ignore[thread-at-import] it ends by itself\n")
    (shown,) = silenced([finding(file, 1)], {}, comments_of(file, KNOWN))
    assert shown.silenced is None


@pytest.mark.parametrize("name", ["uwsgi.ini", "gunicorn.txt"])
def test_files_that_are_no_python(tmp_path: Path, name: str) -> None:
    file = written(tmp_path, "; doctor: ignore[thread-at-import] one worker\nworkers = 1\n", name)
    assert [(each.line, each.reason) for each in comments_of(file, KNOWN)] == [(2, "one worker")]


def test_a_text_in_quotes_is_no_comment(tmp_path: Path) -> None:
    file = written(tmp_path, 'HELP = "# doctor: ignore[nonsense]"\n')
    assert comments_of(file, KNOWN) == ()


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("# doctor: ignore[call-without-timeout]", "a reason is needed"),
        ("# doctor: ignore it", "say which check"),
        ("# doctor: ignore", "say which check"),
        ("# doctor: ignore[call-without-timeuot] x", "Did you mean call-without-timeout"),
    ],
)
def test_a_comment_that_is_wrong_is_an_error(tmp_path: Path, comment: str, said: str) -> None:
    file = written(tmp_path, f"a = 1\nb = 2  {comment}\n")
    with pytest.raises(UsageError) as error:
        comments_of(file, KNOWN)
    assert said in str(error.value)
    assert f"{file}:2" in str(error.value)


def test_options() -> None:
    reasons = from_options(["thread-at-import=it is the metrics = fine"], KNOWN)
    assert reasons == {"thread-at-import": "it is the metrics = fine"}
    (shown,) = silenced([finding(Path("a.py"), 1)], {CHECK.id: "known"}, ())
    assert shown.silenced == "known"


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("thread-at-import", "a reason is needed"),
        ("thread-at-import= ", "a reason is needed"),
        ("thread-at-imprt=x", "Did you mean thread-at-import"),
        ("zzz=x", "no check is called 'zzz'. docs/doctor.md"),
    ],
)
def test_options_that_are_wrong(option: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        from_options([option], KNOWN)
    assert said in str(error.value)
