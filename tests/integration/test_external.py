"""`RUNNER=external`: what is up already is measured as it is, and nothing is loaded unasked."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.errors import ExitCode
from bench.processes.guardian import Guardian
from bench.processes.ports import free_port
from tests.integration.app_support import Server, Stage
from tests.integration.harness import Ended, run

pytestmark = pytest.mark.integration
SMALL = ("--requests", "100", "--concurrency", "10")


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[Server]:
    with Guardian() as guardian, ExitStack() as stack:
        stage = Stage(tmp_path, guardian, stack)
        api = stage.api()
        yield stage.serve("gevent-gunicorn", API_URL=f"http://127.0.0.1:{api.port}")


def external(folder: Path, url: str, *arguments: str) -> Ended:
    return run(folder, "run", *arguments, "--runner", "external", "--url", url)


def test_a_named_deployment_has_a_ceiling_and_is_still_up(gunicorn: Server, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{gunicorn.port}"
    ended = external(
        tmp_path, url, "gevent-gunicorn", *SMALL,
        "--delay", "0.1", "--rounds", "2", "--workers", "1",
    )  # fmt: skip
    assert ended.code == ExitCode.OK, ended.err
    assert len(ended.run.trials) == 2
    for trial in ended.run.trials:
        assert trial.valid
        assert (trial.deployment.name, trial.deployment.runner) == ("gevent-gunicorn", "external")
        assert set(trial.usage) == {"client", "harness"}
    assert ended.run.runner == "external"
    assert "not restarted between trials" in " ".join(ended.run.notes)
    assert "not sampled" in ended.out
    assert "of ceiling" in ended.out
    assert "programs outside of the trial" not in ended.out  # the server is no stranger
    assert gunicorn.get("/healthz").status == 200


def test_what_the_catalog_does_not_know(gunicorn: Server, tmp_path: Path) -> None:
    url = f"http://localhost:{gunicorn.port}"
    ended = external(tmp_path, url, *SMALL, "--url-path", "/readyz")
    assert ended.code == ExitCode.OK, ended.err
    trial = ended.trial("external")
    assert trial.valid
    assert trial.measurement
    assert trial.measurement.body_bytes == len("ready\n")


def test_nothing_answers_there(tmp_path: Path) -> None:
    ended = external(tmp_path, f"http://127.0.0.1:{free_port()}", *SMALL)
    assert ended.code == ExitCode.TRIAL_FAILED
    assert "Connection refused" in ended.out
    assert not ended.trial("external").valid


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--runner", "external", "--url", "http://192.0.2.1:80"), "--yes-i-may-load-this-host"),
        (("--runner", "external"), "give both or neither"),
        (("--url", "http://127.0.0.1:80"), "give both or neither"),
        (("--runner", "cloud"), "Known: local, compose, external"),
        (
            ("sync-uwsgi", "gevent-uwsgi", "--runner", "external", "--url", "http://127.0.0.1"),
            "one URL is one deployment",
        ),
    ],
)
def test_what_cannot_be_meant(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    ended = run(tmp_path, "run", *arguments)
    assert ended.code == ExitCode.USAGE
    assert told in ended.err
    assert not ended.results.exists() or not list(ended.results.iterdir())
