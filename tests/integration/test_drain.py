"""`flask-bench drain`: real servers, stopped and hurt under load."""

import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.errors import ExitCode
from tests.integration.harness import Ended, Harness, pure_json, run, started, write_app

pytestmark = pytest.mark.integration

CLIENTS = 40
OWN_LOAD = ("--concurrency", str(CLIENTS), "--rounds", "1", "--seed", "1")
LOAD = (*OWN_LOAD, "--delay", "0.3")


def drained(folder: Path, *arguments: str) -> tuple[Ended, dict[tuple[str, str], dict[str, Any]]]:
    ended = run(folder, "drain", *arguments, "--json")
    trials = pure_json(ended.out)["trials"] if ended.out else []
    return ended, {(t["deployment"], t["event"]): t for t in trials}


def lost(trial: dict[str, Any]) -> int:
    assert trial["failure"] is None
    counts = trial["counts"]
    return sum(counts[fate] for fate in ("unread", "cut", "wrong", "silent"))


def test_nothing_is_lost_on_stop_and_reload(tmp_path: Path) -> None:
    names = ("gevent-pywsgi", "sync-gunicorn", "gevent-uwsgi", "nginx-gunicorn")

    ended, trials = drained(tmp_path, *names, "--event", "stop,reload", "--workers", "2", *LOAD)

    assert set(trials) == {(name, event) for name in names for event in ("stop", "reload")}
    for trial in trials.values():
        assert lost(trial) == 0, trial
        # a client may just have had an answer, and not have begun its next request
        assert CLIENTS / 2 < trial["in_flight"] <= CLIENTS
        assert trial["counts"]["answered"] >= trial["in_flight"]
    for name in names:
        assert trials[name, "reload"]["counts"]["refused"] == 0
    assert any(trials[name, "stop"]["counts"]["refused"] for name in names)
    assert trials["gevent-uwsgi", "stop"]["by"] == "SIGTERM to hold.py"
    assert ended.code == ExitCode.OK


def test_killed_and_recycled_workers(tmp_path: Path) -> None:
    names = ("gevent-pywsgi", "gevent-gunicorn")

    ended, trials = drained(tmp_path, *names, "--event", "kill,recycle", "--workers", "2", *LOAD)

    alone = trials["gevent-pywsgi", "kill"]
    assert lost(alone) > 0
    assert lost(alone) + alone["counts"]["refused"] >= alone["in_flight"] > CLIENTS / 2
    one_of_two = trials["gevent-gunicorn", "kill"]
    assert 0 < lost(one_of_two) <= one_of_two["own"] < CLIENTS
    assert one_of_two["counts"]["refused"] == 0
    assert lost(trials["gevent-gunicorn", "recycle"]) == 0
    assert ("gevent-pywsgi", "recycle") not in trials
    assert ended.code == ExitCode.OK


def test_what_is_lost_is_found(tmp_path: Path) -> None:
    ended = run(tmp_path, "drain", "sync-uwsgi", "--event", "stop", "--plain", *LOAD)

    assert ended.code == ExitCode.REGRESSION
    (row,) = [line for line in ended.out.splitlines() if line.startswith("sync-uwsgi  stop")]
    assert "unread" in row
    assert "sync-uwsgi, stop, round 1: lost" in ended.out


def test_an_app_of_ones_own(tmp_path: Path) -> None:
    folder = write_app(
        tmp_path,
        "shop",
        "import time\nfrom flask import Flask\napp = Flask(__name__)\n"
        "@app.get('/checkout')\n"
        "def checkout():\n    time.sleep(0.3)\n    return f'paid at {time.time()}\\n'\n",
    )
    own = ("--app", "shop:app", "--app-dir", str(folder), "--url-path", "/checkout")

    ended, trials = drained(tmp_path, "gevent-pywsgi", "--event", "reload", *own, *OWN_LOAD)

    trial = trials["gevent-pywsgi", "reload"]
    assert (lost(trial), trial["readiness"]) == (0, None)
    assert trial["by"] == "SIGHUP to hold.py"
    assert ended.code == ExitCode.OK


def test_another_request_than_a_get(tmp_path: Path) -> None:
    folder = write_app(
        tmp_path,
        "shop",
        "import time\nfrom flask import Flask, request\napp = Flask(__name__)\n"
        "@app.put('/cart')\n"
        "def cart():\n    time.sleep(0.3)\n"
        "    return {'user': request.headers['Authorization'], **request.get_json()}, 201\n",
    )
    own = ("--app", "shop:app", "--app-dir", str(folder), "--url-path", "/cart")
    sent = (
        *("--method", "put", "--body", '{"item": 7}', "--header", "Content-Type: application/json"),
        *("--header", "Authorization: Bearer s3cret", "--expect-status", "201"),
    )

    ended, trials = drained(tmp_path, "gevent-pywsgi", "--event", "stop", *own, *sent, *OWN_LOAD)

    trial = trials["gevent-pywsgi", "stop"]
    assert lost(trial) == 0
    assert trial["counts"]["answered"] >= trial["in_flight"] > CLIENTS / 2
    assert pure_json(ended.out)["path"] == "PUT /cart"
    assert "s3cret" not in ended.out + ended.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("devserver",), "no way to stop and reload devserver"),
        (("gevent-uwsgi", "--event", "crash"), "Known: stop, reload, kill, recycle"),
        (("no-such",), "no-such"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    ended = run(tmp_path, "drain", *arguments)
    assert ended.code == ExitCode.USAGE
    assert said in ended.err


def test_an_app_that_cannot_be_loaded_is_a_failure_and_not_a_number(tmp_path: Path) -> None:
    folder = write_app(tmp_path, "shop", "raise RuntimeError('no shop today')\n")
    own = ("--app", "shop:app", "--app-dir", str(folder))

    ended = run(tmp_path, "drain", "gevent-pywsgi", "--event", "stop", *own, *OWN_LOAD)

    assert ended.code in (ExitCode.USAGE, ExitCode.TRIAL_FAILED)
    assert "no shop today" in ended.out + ended.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_it_is_ended(tmp_path: Path, number: int) -> None:
    with started(tmp_path, "drain", "gevent-uwsgi", "--event", "stop", *LOAD) as harness:
        harness.wait_for(lambda: _loading(harness), "the load")
        harness.signal(number)
        ended = harness.wait()
        harness.footprint.assert_nothing_left()
    assert ended.code == (ExitCode.INTERRUPTED if number == signal.SIGINT else -number)


def _loading(harness: Harness) -> psutil.Process | None:
    return harness.process("bench.drain.client")
