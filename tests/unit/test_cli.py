import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest

from bench.catalog import load_catalog
from bench.cli import cli, main
from bench.errors import BenchError, ExitCode, MissingToolError, TrialError, UsageError
from bench.model import Run
from bench.run_request import RunRequest
from bench.session import Outcome
from bench.store import SCHEMA, run_as_json, save_run
from tests.unit.factories import a_failed_trial, a_run, a_trial

VARIABLES = {
    "WORKLOAD": ("workload", "db", "db"),
    "REQUESTS": ("requests", "30", 30),
    "DURATION": ("duration", "2.5", 2.5),
    "CONCURRENCY": ("concurrency", "3", 3),
    "DELAY": ("delay", "0.5", 0.5),
    "ROUNDS": ("rounds", "4", 4),
    "SEED": ("seed", "9", 9),
    "WORKERS": ("workers", "2", 2),
    "THREADS": ("threads", "8", 8),
    "ASYNC_CORES": ("async_cores", "16", 16),
    "BACKLOG": ("backlog", "64", 64),
    "RUNNER": ("runner", "compose", "compose"),
    "LOAD": ("generator", "oha", "oha"),
    "APP": ("app", "shop:app", "shop:app"),
    "APP_DIR": ("app_dir", "/srv/shop", Path("/srv/shop")),
    "APP_PYTHON": ("python", "/srv/shop/.venv", Path("/srv/shop/.venv")),
    "ENV_FILE": ("env_file", "/srv/shop/.env", Path("/srv/shop/.env")),
    "METHOD": ("method", "PATCH", "PATCH"),
    "BODY": ("body", "@cart.json", "@cart.json"),
    "EXPECT_STATUS": ("expect_status", "201", 201),
    "EXPECT_BODY": ("expect_body", "paid", "paid"),
    "URL_PATH": ("url_path", "/checkout", "/checkout"),
    "PORT": ("port", "8123", 8123),
    "DATABASE_URL": ("database_url", "postgresql://x", "postgresql://x"),
    "RESULTS": ("results", "/srv/results", Path("/srv/results")),
}


COMMANDS = {
    name: command
    for name in cli.list_commands(click.Context(cli))
    if (command := cli.get_command(click.Context(cli), name))
}


class Ended(NamedTuple):
    code: int
    out: str
    err: str


Call = Callable[..., Ended]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Put back the signal handlers that `main` sets."""
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Return ``flask-bench`` as a function of its arguments."""

    def call(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["flask-bench", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        written = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return Ended(caught.value.code, written.out, written.err)

    return call


class Session:
    """A made-up `carry_out`."""

    def __init__(self) -> None:
        self.requests: list[RunRequest] = []
        self.run = a_run(a_trial())
        self.error: BaseException | None = None
        self.unsaved: BenchError | None = None

    def carry_out(
        self,
        request: RunRequest,
        _watch: Callable[..., AbstractContextManager[object]],
        *_: object,
    ) -> Outcome:
        self.requests.append(request)
        if self.error:
            raise self.error
        return Outcome(self.run, Path("/srv/results/the-run"), self.unsaved)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    made_up = Session()
    monkeypatch.setattr("bench.cli.run.carry_out", made_up.carry_out)
    return made_up


class TestExitCodes:
    @pytest.mark.parametrize(
        ("run", "code"),
        [
            (a_run(a_trial()), ExitCode.OK),
            (a_run(a_trial(), a_failed_trial()), ExitCode.TRIAL_FAILED),
            (a_run(a_failed_trial()), ExitCode.TRIAL_FAILED),
            (a_run(a_trial(failure="3 non_2xx")), ExitCode.TRIAL_FAILED),
            (a_run(a_trial(), status="interrupted"), ExitCode.INTERRUPTED),
            (a_run(a_failed_trial(), status="interrupted"), ExitCode.INTERRUPTED),
            (a_run(status="interrupted"), ExitCode.INTERRUPTED),
        ],
    )
    @pytest.mark.parametrize("form", [(), ("--json",)])
    def test_a_run(
        self, call: Call, session: Session, run: Run, code: int, form: tuple[str, ...]
    ) -> None:
        session.run = run
        ended = call("run", *form)
        assert ended.code == code
        assert "saved in /srv/results/the-run" in ended.err

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (UsageError("[bold]not[/bold] so"), 2),
            (MissingToolError("[bold]not[/bold] so"), 2),
            (TrialError("[bold]not[/bold] so"), 3),
        ],
    )
    def test_an_error_is_its_words_and_its_code(
        self, call: Call, session: Session, error: BenchError, code: int
    ) -> None:
        session.error = error
        assert call("run") == (code, "", "error: [bold]not[/bold] so\n")

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
    def test_an_interrupt(self, call: Call, session: Session, error: BaseException) -> None:
        session.error = error
        assert call("run").code == 130

    def test_a_run_that_cannot_be_saved_is_shown_all_the_same(
        self, call: Call, session: Session
    ) -> None:
        session.unsaved = TrialError("the disk is full")
        ended = call("run", "--json")
        assert ended.code == 3
        assert json.loads(ended.out) == json.loads(run_as_json(session.run))
        assert "error: the disk is full" in ended.err
        assert "saved in" not in ended.err

    def test_nothing_measured_at_all_is_not_fine(self, call: Call, session: Session) -> None:
        reason = {"nginx-uwsgi": "nginx is not installed"}
        session.run = a_run(skipped=reason)
        assert call("run", "nginx-uwsgi").code == ExitCode.USAGE

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_a_signal_is_an_interrupt(
        self, call: Call, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        def carry_out(*_: object) -> Outcome:
            signal.raise_signal(number)
            raise AssertionError("not interrupted")

        monkeypatch.setattr("bench.cli.run.carry_out", carry_out)
        assert call("run").code == 130


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("run", "gevent-uswgi"), "Did you mean gevent-uwsgi?"),
            (("run", ""), "no deployment is called ''"),
            (("run", "--workload", "dp"), "Did you mean db?"),
            (("run", "--requests", "5", "--concurrency", "6"), "REQUESTS is 5 and CONCURRENCY 6"),
            (("run", "--requests", "5", "--duration", "6"), "REQUESTS or DURATION, not both"),
            (("run", "--requests", "2000", "--duration", "6"), "REQUESTS or DURATION, not both"),
            (("run", "--delay", "-1"), "allowed are 0 to 30 seconds"),
            (("run", "--delay", "nan"), "allowed are 0 to 30 seconds"),
            (("run", "--workload", "cpu", "--delay", "1"), "takes no delay"),
            (("run", "--duration", "nan"), "DURATION=nan"),
            (("run", "--duration", "inf"), "DURATION=inf"),
            (("run", "--runner", "cloud"), "Known: local"),
            (("run", "--load", "wrk3"), "wrk3"),
            (("run", "--url-path", "checkout"), "begin with a slash"),
            (("run", "--concurrency", "99999999", "--requests", "99999999"), "CONCURRENCY=99999"),
            (("compare", "/nowhere", "/nowhere"), "/nowhere is no run"),
            (("compare",), "Missing argument 'BASE'"),
            (("report", "/nowhere"), "/nowhere is no run"),
            (("nosuch",), "No such command 'nosuch'"),
            (("run", "--nosuch"), "No such option"),
        ],
    )
    def test_it_is_exit_code_2_and_says_why(
        self, call: Call, tmp_path: Path, arguments: tuple[str, ...], words: str
    ) -> None:
        results = ("--results", str(tmp_path)) if arguments[0] == "run" else ()
        ended = call(*arguments, *results)
        assert ended.code == 2
        assert words in ended.err
        assert "Traceback" not in ended.err
        assert ended.out == ""

    @pytest.mark.parametrize("value", ["0", "-1", "many", "1.5", "", "1e3", "nan"])
    @pytest.mark.parametrize(
        "option",
        [
            "requests",
            "concurrency",
            "rounds",
            "workers",
            "threads",
            "async-cores",
            "backlog",
            "port",
        ],
    )
    def test_numbers_that_are_none(self, call: Call, option: str, value: str) -> None:
        ended = call("run", f"--{option}", value)
        assert ended.code == 2
        assert f"Invalid value for '--{option}'" in ended.err

    @pytest.mark.parametrize("value", ["0", "-1", "long", ""])
    def test_durations_that_are_none(self, call: Call, value: str) -> None:
        ended = call("run", "--duration", value)
        assert ended.code == 2
        assert "Invalid value for '--duration'" in ended.err

    @pytest.mark.parametrize(("name", "value"), [("REQUESTS", "0"), ("WORKERS", "x")])
    def test_numbers_that_are_none_in_the_environment(
        self, call: Call, monkeypatch: pytest.MonkeyPatch, name: str, value: str
    ) -> None:
        monkeypatch.setenv(name, value)
        ended = call("run")
        assert ended.code == 2
        assert name in ended.err

    def test_every_unknown_name_lists_the_known_ones(self, call: Call) -> None:
        ended = call("run", "nosuch")
        assert ended.code == 2
        assert [name for name in load_catalog().deployments if name not in ended.err] == []

    def test_a_run_on_both_sides(self, call: Call, tmp_path: Path) -> None:
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
            save_run(a_run(a_trial(), id=name), tmp_path / name)
        one, other = str(tmp_path / "one"), str(tmp_path / "other")
        ended = call("compare", one, other, "--pool-base", other)
        assert ended.code == 2
        assert "have it in common: other" in ended.err

    @pytest.mark.parametrize(
        "content", ["", "{}", "[]", f'{{"schema": {SCHEMA + 1}}}', f'{{"schema": {SCHEMA}}}']
    )
    def test_a_file_that_is_no_run(self, call: Call, tmp_path: Path, content: str) -> None:
        (tmp_path / "run.json").write_text(content)
        for arguments in (("report", str(tmp_path)), ("compare", str(tmp_path), str(tmp_path))):
            ended = call(*arguments)
            assert ended.code == 2
            assert "error: " in ended.err
            assert "Traceback" not in ended.err


class TestEnvironment:
    @pytest.mark.parametrize("name", VARIABLES)
    def test_every_variable_is_read(
        self, call: Call, session: Session, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        field, text, value = VARIABLES[name]
        monkeypatch.setenv(name, text)
        assert call("run").code == 0
        assert getattr(session.requests[0], field) == value

    def test_an_option_wins(
        self, call: Call, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CONCURRENCY", "3")
        assert call("run", "--concurrency", "5").code == 0
        assert session.requests[0].concurrency == 5

    def test_the_call_is_recorded(self, call: Call, session: Session) -> None:
        call("run", "gevent-uwsgi", "--rounds", "2")
        request = session.requests[0]
        assert request.deployments == ("gevent-uwsgi",)
        assert request.command == ("flask-bench", "run", "gevent-uwsgi", "--rounds", "2")

    def test_what_came_by_environment_is_recorded_as_options(
        self, call: Call, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WORKLOAD", "db")
        monkeypatch.setenv("ROUNDS", "3")
        call("run", "gevent-uwsgi")
        command = session.requests[0].command
        assert command[:3] == ("flask-bench", "run", "gevent-uwsgi")
        assert set(zip(command[3::2], command[4::2], strict=True)) == {
            ("--workload", "db"),
            ("--rounds", "3"),
        }

    def test_nothing_said_is_nothing_in_particular(self, call: Call, session: Session) -> None:
        call("run")
        request = session.requests[0]
        assert (request.workload, request.rounds, request.results) == ("api", 1, Path("results"))
        assert (request.requests, request.workers, request.app, request.seed) == (None,) * 4

    def test_base_and_new(
        self, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        for name in ("BASE", "NEW"):
            folder = tmp_path / name
            folder.mkdir()
            save_run(a_run(a_trial(), id=f"run-{name}"), folder)
            monkeypatch.setenv(name, str(folder))
        ended = call("compare")
        assert ended.code in {ExitCode.OK, ExitCode.INCONCLUSIVE}
        assert "run-BASE" in ended.out
        assert "run-NEW" in ended.out


def commands() -> list[tuple[str, click.Command]]:
    return [("", cli), *COMMANDS.items()]


class TestHelp:
    @pytest.mark.parametrize(("name", "command"), commands())
    def test_it_has_examples_of_this_command(
        self, call: Call, name: str, command: click.Command
    ) -> None:
        ended = call(*filter(None, [name]), "--help")
        assert ended.code == 0
        _, _, examples = ended.out.partition("Examples:")
        examples = examples.partition("Options:")[0]
        calls = re.findall(r"^\s+(flask-bench .*)$", examples, re.MULTILINE)
        assert calls
        assert all(call.startswith(f"flask-bench {name}".rstrip()) for call in calls)
        assert ended.out == call(*filter(None, [name]), "-h").out
        assert command.help

    @pytest.mark.parametrize(("name", "command"), commands())
    def test_every_option_is_documented(
        self, call: Call, name: str, command: click.Command
    ) -> None:
        text = " ".join(call(*filter(None, [name]), "--help").out.split())
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, parameter.name
                assert parameter.opts[0] in text
                if parameter.envvar:
                    assert f"env var: {parameter.envvar}" in text

    @pytest.mark.parametrize(("name", "command"), commands())
    def test_its_examples_use_options_that_there_are(
        self, call: Call, name: str, command: click.Command
    ) -> None:
        known = {
            word
            for each in (command, *COMMANDS.values())
            for parameter in each.params
            for word in parameter.opts
        }
        examples = call(*filter(None, [name]), "--help").out.partition("Examples:")[2]
        used = re.findall(r"(?<= )--[a-z-]+", examples.partition("Options:")[0])
        assert set(used) <= known

    def test_examples_name_deployments_and_workloads_that_there_are(self, call: Call) -> None:
        text = call("run", "--help").out
        catalog = load_catalog()
        examples = text.partition("Examples:")[2].partition("Options:")[0]
        named = re.findall(r"flask-bench run((?: [a-z][\w-]+)+)", examples)
        assert named
        assert set(" ".join(named).split()) <= set(catalog.deployments)
        for workload in re.findall(r"--workload (\S+)", examples):
            assert workload in catalog.workloads

    def test_the_version(self, call: Call) -> None:
        assert re.search(r"\d+\.\d+", call("--version").out)

    def test_no_command_shows_the_help(self, call: Call) -> None:
        ended = call()
        assert "Examples:" in ended.out + ended.err


class TestOutput:
    def test_json_is_nothing_but_json(self, call: Call, session: Session) -> None:
        ended = call("run", "--json")
        assert json.loads(ended.out)["id"] == session.run.id

    def test_the_list_names_everything(self, call: Call) -> None:
        catalog = load_catalog()
        ended = call("list")
        assert ended.code == 0
        for name in (*catalog.deployments, *catalog.workloads):
            assert re.search(rf"^{name} ", ended.out, re.MULTILINE)

    def test_the_list_as_json(self, call: Call) -> None:
        catalog = load_catalog()
        listed = json.loads(call("list", "--json").out)
        assert list(listed["deployments"]) == list(catalog.deployments)
        assert list(listed["workloads"]) == list(catalog.workloads)

    def test_a_report_is_printed_and_written(self, call: Call, tmp_path: Path) -> None:
        save_run(a_run(a_trial()), tmp_path)
        ended = call("report", str(tmp_path))
        assert ended.code == 0
        assert "gevent-uwsgi" in ended.out
        assert "gevent-uwsgi" in (tmp_path / "report.md").read_text()
        assert f"written: {tmp_path / 'report.md'}" in ended.err

    def test_a_report_as_json_is_the_run(self, call: Call, tmp_path: Path) -> None:
        run = a_run(a_trial())
        save_run(run, tmp_path)
        assert json.loads(call("report", "--json", str(tmp_path)).out) == json.loads(
            run_as_json(run)
        )

    def test_a_report_of_a_failed_run_says_so_by_its_code(self, call: Call, tmp_path: Path) -> None:
        save_run(a_run(a_failed_trial(failure="it never came up")), tmp_path)
        ended = call("report", str(tmp_path))
        assert ended.code == 0  # the report itself is fine
        assert "it never came up" in ended.out

    def test_a_report_into_a_document(self, call: Call, tmp_path: Path) -> None:
        save_run(a_run(a_trial()), tmp_path)
        document = tmp_path / "README.md"
        marks = "<!-- results of api: begin -->\nold\n<!-- results of api: end -->"
        document.write_text(f"before\n{marks}\nafter\n")
        assert call("report", str(tmp_path), "--into", str(document)).code == 0
        text = document.read_text()
        assert text.startswith("before\n<!-- results of api: begin -->")
        assert text.endswith("<!-- results of api: end -->\nafter\n")
        assert "gevent-uwsgi" in text
        assert "old" not in text

    def test_a_document_without_the_marks(self, call: Call, tmp_path: Path) -> None:
        save_run(a_run(a_trial()), tmp_path)
        (tmp_path / "README.md").write_text("nothing")
        ended = call("report", str(tmp_path), "--into", str(tmp_path / "README.md"))
        assert ended.code == 2
        assert "<!-- results of api: begin -->" in ended.err
        assert (tmp_path / "README.md").read_text() == "nothing"


class TestPipe:
    """A pipe gets every word, on lines as long as it takes, and no colours."""

    def printed(self, folder: Path, run: Run, **environment: str) -> str:
        save_run(run, folder)
        ended = subprocess.run(
            [sys.executable, "-c", "from bench.cli import main; main()", "report", str(folder)],
            capture_output=True,
            text=True,
            check=True,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2])}
            | environment,
            timeout=60,
        )
        return ended.stdout

    def test_no_escape_codes(self, tmp_path: Path) -> None:
        text = self.printed(
            tmp_path, a_run(a_trial(), a_failed_trial()), TERM="xterm-256color", COLUMNS="40"
        )
        assert "\x1b" not in text
        assert "…" not in text
        assert "gevent-uwsgi" in text

    def test_nothing_is_cut_and_no_note_is_broken(self, tmp_path: Path) -> None:
        name = "a-deployment-of-" + "very-" * 40 + "long-name"
        reason = "it says: " + "word " * 40 + "end"
        text = self.printed(tmp_path, a_run(a_trial(name), a_failed_trial(failure=reason)))
        assert "…" not in text
        rows = [line for line in text.splitlines() if line.startswith(name)]
        assert rows
        assert any(re.search(r" 180\.0 ", row) for row in rows)
        assert f"sync-uwsgi: {reason}" in text


def test_every_option_of_run_has_its_variable() -> None:
    options: list[Any] = [p for p in COMMANDS["run"].params if isinstance(p, click.Option)]
    with_variable = {option.envvar: option.name for option in options if option.envvar}
    assert {name: field for name, (field, _, _) in VARIABLES.items()}.items() <= (
        with_variable.items()
    )
