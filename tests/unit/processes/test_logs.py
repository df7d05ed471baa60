from pathlib import Path

from bench.processes.logs import shorten, tail

TRACEBACK = """\
Traceback (most recent call last):
  File "app.py", line 1, in <module>
    import nowhere
ModuleNotFoundError: No module named 'nowhere'"""

HEAD = TRACEBACK.splitlines()[0]


def numbered(count: int) -> str:
    return "\n".join(f"line {number}" for number in range(count))


def test_a_long_log_is_cut_to_its_last_lines() -> None:
    assert shorten(numbered(100), lines=3) == "line 97\nline 98\nline 99"


def test_a_traceback_above_the_last_lines_is_shown_whole() -> None:
    text = f"{numbered(50)}\n{TRACEBACK}\n{numbered(30)}"

    shown = shorten(text, lines=5)

    assert shown.startswith(TRACEBACK)
    assert shown.endswith("line 29")
    assert "line 49" not in shown


def test_of_several_tracebacks_the_last_is_shown_and_the_errors_of_all() -> None:
    other = TRACEBACK.replace("nowhere", "elsewhere")

    shown = shorten(f"{other}\n{TRACEBACK}\nbye", lines=1)
    named = "(before that: ModuleNotFoundError: No module named 'elsewhere')"
    assert shown == f"{named}\n{TRACEBACK}\nbye"


def test_a_chain_of_tracebacks_is_shown_from_its_cause() -> None:
    link = "\n\nDuring handling of the above exception, another exception occurred:\n\n"
    chain = f"{TRACEBACK}{link}{TRACEBACK}"

    assert shorten(f"start\n{chain}", lines=2) == chain


def test_a_recursion_does_not_flood_the_terminal() -> None:
    text = f"{TRACEBACK.splitlines()[0]}\n{numbered(5000)}\nRecursionError"

    shown = shorten(text).splitlines()

    assert len(shown) < 150
    assert shown[0].startswith("Traceback")
    assert shown[-1] == "RecursionError"
    assert any("lines left out" in line for line in shown)


def test_a_missing_and_an_empty_log_say_so(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()

    assert "No such file" in tail(tmp_path / "missing")
    assert "empty" in tail(tmp_path / "empty")


def test_the_tail_of_a_file_survives_bytes_that_are_no_text(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 200_000 + b"\nlast \xff word\n")

    assert tail(log, lines=1) == "last \ufffd word"


def test_a_worker_that_was_told_to_stop_does_not_hide_the_cause() -> None:
    cause = f"{HEAD}\n  File 'app.py'\nAttributeError: no attribute 'missing'\n"
    for last in ("  File 'thread.py'\nKeyboardInterrupt\n", "  File 'thread.py'\n"):
        told = f"{HEAD}\n" + "  File 'deep.py'\n" * 40 + last
        assert "AttributeError: no attribute 'missing'" in shorten(cause + told, lines=5)


def test_gunicorns_own_end_does_not_hide_the_workers() -> None:
    cause = f"{HEAD}\n  File 'app.py'\nImportError: no such name\n"
    halt = f"{HEAD}\n" + "  File 'arbiter.py'\n" * 40 + "gunicorn.errors.HaltServer: <3>\n"
    shown = shorten(cause + halt, lines=5)
    assert "ImportError: no such name" in shown
    assert "HaltServer" not in shown
