"""How deployments are stopped, reloaded and recycled."""

import signal
from dataclasses import replace

import pytest

from bench.catalog import load_catalog
from bench.drain.model import EVENTS
from bench.drain.session import DrainRequest, chosen_of, planned, ways_of, workload_of
from bench.drain.ways import Step, Way, way_of
from bench.errors import UsageError

DEPLOYMENTS = load_catalog().deployments
PRODUCTION = (
    "gevent-pywsgi", "sync-gunicorn", "gevent-gunicorn", "sync-uwsgi", "gevent-uwsgi",
    "nginx-gunicorn", "nginx-uwsgi",
)  # fmt: skip
REQUEST = DrainRequest(
    deployments=(), events=(), concurrency=200, delay=None, rounds=2, seed=1, workers=None,
    keep_alive=False, plain=False, app=None, app_dir=None, python=None, env_file=None,
    url_path=None, method=None, headers=(), body=None, expect_status=None, expect_body=None,
    command=("flask-bench", "drain"),
)  # fmt: skip


def way(name: str, event: str, *, plain: bool = False) -> Way | str:
    return way_of(DEPLOYMENTS[name], event, 200, plain=plain)


def texts(event: str, *, plain: bool = False) -> dict[str, str]:
    found = {name: way(name, event, plain=plain) for name in PRODUCTION}
    return {name: each if isinstance(each, str) else each.text for name, each in found.items()}


def test_everything_that_is_made_for_production_is_chosen() -> None:
    chosen = chosen_of(REQUEST, workload_of(REQUEST))
    assert tuple(sorted(d.name for d in chosen)) == tuple(sorted(PRODUCTION))


@pytest.mark.parametrize(
    ("asked", "delay"),
    [
        (REQUEST, 1.0),
        (replace(REQUEST, delay=0.3), 0.3),
        (replace(REQUEST, url_path="/hello"), None),
        (replace(REQUEST, app="shop:app"), None),
    ],
)
def test_a_request_waits_as_the_workload_says(asked: DrainRequest, delay: float | None) -> None:
    assert workload_of(asked).delay == delay


@pytest.mark.parametrize(
    "own", [replace(REQUEST, url_path="/hello"), replace(REQUEST, app="shop:app")]
)
def test_a_delay_that_nothing_takes_is_refused(own: DrainRequest) -> None:
    with pytest.raises(UsageError, match="takes no delay"):
        workload_of(replace(own, delay=0.3))


@pytest.mark.parametrize("name", ["devserver", "peer-sanic"])
def test_what_nobody_knows_how_to_reload_is_refused(name: str) -> None:
    request = replace(REQUEST, deployments=(name,))
    with pytest.raises(UsageError, match=f"no way to stop and reload {name}"):
        chosen_of(request, workload_of(request))


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'crash'\. Known: stop, reload, kill, recycle"):
        ways_of(replace(REQUEST, events=("crash",)), ())


def test_uwsgi_is_stopped_behind_a_held_socket_unless_nginx_goes_first() -> None:
    assert texts("stop") == {
        "gevent-pywsgi": "SIGTERM",
        "sync-gunicorn": "SIGTERM",
        "gevent-gunicorn": "SIGTERM",
        "sync-uwsgi": "SIGTERM to hold.py",
        "gevent-uwsgi": "SIGTERM to hold.py",
        "nginx-gunicorn": "SIGQUIT to nginx, then SIGTERM",
        "nginx-uwsgi": "SIGQUIT to nginx, then SIGTERM",
    }


def test_plain_holds_no_socket() -> None:
    found = texts("stop", plain=True) | {"reload": str(way("gevent-pywsgi", "reload", plain=True))}
    assert not any("hold.py" in text for text in found.values())
    assert found["reload"] == "it cannot reload by itself"


def test_what_is_in_front_goes_first() -> None:
    stop = way("nginx-uwsgi", "stop")
    assert isinstance(stop, Way)
    assert stop.steps == (Step("nginx", signal.SIGQUIT), Step("server", signal.SIGTERM))
    assert not stop.held


def test_a_held_deployment_is_started_by_hold_py_which_has_to_be_copied() -> None:
    held = way("gevent-pywsgi", "reload")
    assert isinstance(held, Way)
    pywsgi = DEPLOYMENTS["gevent-pywsgi"]
    started = held.applied_to(pywsgi)
    assert started.command == ("{python}", "{flask_app}/hold.py", *pywsgi.command)
    assert started.copy == (*pywsgi.copy, "flask_app/hold.py")


def test_recycling_is_a_setting_that_follows_from_the_load() -> None:
    gunicorn, uwsgi = way("gevent-gunicorn", "recycle"), way("sync-uwsgi", "recycle")
    assert isinstance(gunicorn, Way)
    assert isinstance(uwsgi, Way)
    started = gunicorn.applied_to(DEPLOYMENTS["gevent-gunicorn"])
    assert started.command[-4:] == ("--max-requests", "125", "--max-requests-jitter", "31")
    assert uwsgi.arguments[-2:] == ("--min-worker-lifetime", "0")
    assert way("gevent-pywsgi", "recycle") == "it has no workers"


def test_every_round_has_every_trial_in_an_order_that_its_seed_repeats() -> None:
    chosen = chosen_of(REQUEST, workload_of(REQUEST))
    ways, skipped = ways_of(REQUEST, chosen)
    by_name = {d.name: d for d in chosen}

    plan = planned(ways, by_name, rounds=2, seed=7)

    assert skipped == {"gevent-pywsgi: recycle": "it has no workers"}
    assert len(plan) == 2 * (len(PRODUCTION) * len(EVENTS) - 1)
    first, second = plan[: len(ways)], plan[len(ways) :]
    assert [(p.deployment.name, p.event) for p in first] != [
        (p.deployment.name, p.event) for p in second
    ]
    assert {(p.deployment.name, p.event) for p in first} == set(ways)
    assert plan == planned(ways, by_name, rounds=2, seed=7)


def test_an_app_of_ones_own_has_no_slow_api_and_no_known_body() -> None:
    workload = workload_of(replace(REQUEST, app="shop:app", url_path="/checkout"))
    assert (workload.path, workload.body, workload.uses) == ("/checkout", None, ())
