from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bench import session
from bench.catalog import load_catalog
from bench.errors import BenchError, MissingToolError, UsageError
from bench.execute import Observer
from bench.model import Deployment, Load, Run
from bench.plan import PlannedTrial
from bench.run_request import RunRequest, workload_of
from bench.runners import RunnerOptions
from bench.session import carry_out, plan_of
from bench.store import save_run

NOTHING_IN_PARTICULAR = {
    "deployments": (),
    "workload": "api",
    "headers": (),
    "rounds": 1,
    "runner": "local",
    "generator": "ab",
    "may_load_this_host": False,
    "results": Path("results"),
    "command": ("flask-bench", "run"),
}


def a_request(*deployments: str, **changes: Any) -> RunRequest:
    given: dict[str, Any] = {field.name: None for field in fields(RunRequest)}
    return RunRequest(**{**given, **NOTHING_IN_PARTICULAR, "deployments": deployments, **changes})


def loads_of(request: RunRequest) -> dict[str, Load]:
    workload = workload_of(request)
    chosen = load_catalog().chosen(request.deployments, workload)
    plan = plan_of(request, workload, chosen, seed=0)
    return {planned.deployment.name: planned.load for planned in plan}


class Generator:
    """A load generator that refuses what it is told to."""

    lone_requests = 1
    several_requests = False
    version = "fake 1.0"

    def __init__(self, refuses: BenchError | None = None) -> None:
        self.refuses = refuses
        self.checked: list[Load] = []

    def check(self, load: Load) -> None:
        self.checked.append(load)
        if self.refuses:
            raise self.refuses


class Runner:
    """A runner that brings nothing up."""

    def __init__(self, options: RunnerOptions, left_out: Mapping[str, str]) -> None:
        self.options = options
        self._left_out = left_out
        self.open = False

    def __enter__(self) -> "Runner":
        self.open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.open = False

    def left_out(self, deployments: Sequence[Deployment]) -> Mapping[str, str]:
        names = {deployment.name for deployment in deployments}
        return {name: why for name, why in self._left_out.items() if name in names}


class Carried(NamedTuple):
    run: Run
    plan: tuple[PlannedTrial, ...]
    runner: Runner


class World:
    """What stands around a session, made up, and what it was asked to do."""

    def __init__(self) -> None:
        self.generator = Generator()
        self.left_out: dict[str, str] = {}
        self.carried: Carried | None = None
        self.runners: list[Runner] = []
        self.watched: tuple[PlannedTrial, ...] | None = None

    def load_generator(self, _name: str) -> Generator:
        return self.generator

    def make_runner(self, _names: Sequence[str], options: RunnerOptions) -> Runner:
        self.runners.append(Runner(options, self.left_out))
        return self.runners[-1]

    def execute(
        self, run: Run, plan: tuple[PlannedTrial, ...], bench: Any, folder: Path, _observer: object
    ) -> tuple[Run, BenchError | None]:
        assert bench.runner.open
        assert bench.folder == folder
        self.carried = Carried(run, plan, bench.runner)
        save_run(run, folder)
        return run, None

    @contextmanager
    def watch(self, plan: tuple[PlannedTrial, ...], _workload: object) -> Iterator[Observer]:
        self.watched = plan
        yield None  # type: ignore[misc]  # nothing runs that it could watch


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made_up = World()
    for name in ("load_generator", "make_runner", "execute"):
        monkeypatch.setattr(session, name, getattr(made_up, name))
    return made_up


class TestWorkload:
    def test_the_delay(self) -> None:
        assert workload_of(a_request(delay=0.25)).delay == 0.25
        assert workload_of(a_request(delay=0.0)).delay == 0.0

    def test_a_path_and_an_app_are_the_users_own(self) -> None:
        assert workload_of(a_request(url_path="/x")).path == "/x"
        own = workload_of(a_request(app="shop:app"))
        assert (own.path, own.body, own.delay) == ("/", None, None)

    def test_a_path_of_the_users_own_takes_no_delay(self) -> None:
        with pytest.raises(UsageError, match="takes no delay"):
            workload_of(a_request(app="shop:app", delay=5.0))

    def test_an_unknown_one_is_named(self) -> None:
        with pytest.raises(UsageError, match=r"no workload is called 'apy'. Did you mean api\?"):
            workload_of(a_request(workload="apy"))


class TestPlan:
    def test_the_catalogs_loads(self) -> None:
        loads = loads_of(a_request())
        assert len(loads) == 9
        assert loads.pop("devserver") == Load(5, requests=10)
        assert set(loads.values()) == {Load(200, requests=2000)}

    def test_the_users_load_reaches_all_but_never_raises_an_own_one(self) -> None:
        loads = loads_of(a_request(requests=8000, concurrency=400))
        assert loads.pop("devserver") == Load(5, requests=10)
        assert set(loads.values()) == {Load(400, requests=8000)}

    def test_a_deployment_asked_for_by_name_gets_what_was_asked(self) -> None:
        assert loads_of(a_request("devserver", requests=50, concurrency=2)) == {
            "devserver": Load(2, requests=50)
        }

    @pytest.mark.parametrize(
        ("requests", "concurrency", "words"),
        [(10, 20, "REQUESTS is 10 and CONCURRENCY 20"), (3, None, "REQUESTS is 3 and CONCURR")],
    )
    def test_fewer_requests_than_concurrency(
        self, requests: int, concurrency: int | None, words: str
    ) -> None:
        with pytest.raises(UsageError, match=words):
            loads_of(a_request("gevent-uwsgi", requests=requests, concurrency=concurrency))

    def test_as_many_requests_as_concurrency_will_do(self) -> None:
        request = a_request("gevent-uwsgi", requests=20, concurrency=20)
        assert loads_of(request) == {"gevent-uwsgi": Load(20, requests=20)}

    def test_settings_reach_the_deployments(self) -> None:
        request = a_request(
            "sync-uwsgi", "gevent-pywsgi", workers=2, threads=7, async_cores=9, backlog=64
        )
        chosen = load_catalog().chosen(request.deployments, workload_of(request))
        found = {p.deployment.name: p.deployment for p in plan_of(request, workload_of(request),
                                                                  chosen, seed=0)}  # fmt: skip
        uwsgi, pywsgi = found["sync-uwsgi"], found["gevent-pywsgi"]
        assert (uwsgi.workers, uwsgi.threads, uwsgi.async_cores) == (2, 7, None)
        assert (pywsgi.workers, pywsgi.threads, pywsgi.async_cores) == (None, None, 9)
        assert (uwsgi.backlog, pywsgi.backlog) == (64, 64)


class TestRefusedRequests:
    """Nothing is started, and no folder made, for a call that cannot be carried out."""

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"deployments": ("gevent-uswgi",)}, "Did you mean gevent-uwsgi"),
            ({"workload": "dp"}, "Did you mean db"),
            ({"requests": 5, "concurrency": 6}, "at least as many requests"),
            ({"requests": 5, "duration": 6.0}, "not both"),
            ({"delay": 31.0}, "0 to 30"),
            ({"workload": "hello", "delay": 1.0}, "takes no delay"),
            ({"url_path": "x"}, "begin with a slash"),
        ],
    )
    def test_by_its_words(
        self, world: World, tmp_path: Path, changes: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(UsageError, match=words):
            carry_out(a_request(**{"results": tmp_path / "r", **changes}), world.watch)
        assert not (tmp_path / "r").exists()
        assert world.runners == []

    def test_by_the_load_generator(self, world: World, tmp_path: Path) -> None:
        world.generator = Generator(MissingToolError("ab is not installed"))
        with pytest.raises(MissingToolError):
            carry_out(a_request(results=tmp_path / "r"), world.watch)
        assert not (tmp_path / "r").exists()
        assert world.runners == []

    def test_every_planned_load_is_checked(self, world: World, tmp_path: Path) -> None:
        carry_out(a_request(results=tmp_path), world.watch)
        assert set(world.generator.checked) == {Load(5, requests=10), Load(200, requests=2000)}

    def test_a_folder_of_an_app_that_there_is_not(self, world: World, tmp_path: Path) -> None:
        request = a_request(results=tmp_path / "r", app="shop:app", app_dir=tmp_path / "none")
        with pytest.raises(UsageError, match=r"--app-dir: there is no folder .*none"):
            carry_out(request, world.watch)
        assert world.runners == []

    def test_an_unknown_runner_or_load_generator(self, tmp_path: Path) -> None:
        for changes in ({"runner": "cloud"}, {"generator": "wrk3"}):
            with pytest.raises(UsageError, match=r"cloud|wrk3"):
                carry_out(a_request(results=tmp_path, **changes), World().watch)


class TestCarryOut:
    def test_the_record_says_what_was_asked_for(self, world: World, tmp_path: Path) -> None:
        request = a_request("gevent-uwsgi", "devserver", results=tmp_path, seed=5, rounds=2)
        outcome = carry_out(request, world.watch)

        assert world.carried is not None
        run, plan, runner = world.carried
        assert outcome.run == run
        assert outcome.folder.parent == tmp_path
        assert run.id == outcome.folder.name
        assert (run.seed, run.rounds, run.status) == (5, 2, "running")
        assert (run.generator, run.runner, run.app) == ("fake 1.0", "local", "app:app")
        assert run.planned == tuple((p.round, p.deployment.name) for p in plan)
        assert world.watched == plan
        assert len(plan) == 4
        assert run.machine.versions["fake"] == "fake 1.0"
        assert not runner.open

    def test_the_seed_is_recorded_and_repeats_the_order(self, world: World, tmp_path: Path) -> None:
        first = carry_out(a_request(results=tmp_path, rounds=3), world.watch).run
        again = carry_out(a_request(results=tmp_path, rounds=3, seed=first.seed), world.watch).run
        other = carry_out(a_request(results=tmp_path, rounds=3), world.watch).run
        assert first.planned == again.planned
        assert first.planned != other.planned

    def test_what_is_left_out_is_not_planned_and_says_so(
        self, world: World, tmp_path: Path
    ) -> None:
        world.left_out = {"nginx-uwsgi": "no nginx", "nginx-gunicorn": "no nginx"}
        run = carry_out(a_request(results=tmp_path), world.watch).run
        assert run.skipped == world.left_out
        assert len(run.planned) == 7
        assert not {name for _, name in run.planned} & set(world.left_out)

    def test_an_app_of_ones_own(self, world: World, tmp_path: Path) -> None:
        (tmp_path / "shop").mkdir()
        request = a_request(
            results=tmp_path, app="shop:create_app()", app_dir=tmp_path / "shop", port=8123
        )
        run = carry_out(request, world.watch).run
        options = world.runners[0].options
        assert run.app == options.app.spec == "shop:create_app()"
        assert options.app.folder == tmp_path / "shop"
        assert options.serves_own_app
        assert run.workload.uses == ()  # the slow API belongs to the demo
        assert options.port == 8123

    def test_without_a_folder_an_own_app_is_in_the_current_one(
        self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        carry_out(a_request(results=tmp_path, app="shop:app"), world.watch)
        carry_out(a_request(results=tmp_path), world.watch)
        own, demo = (runner.options for runner in world.runners)
        assert own.app.folder == tmp_path
        assert own.serves_own_app
        assert (demo.app.folder / "app.py").exists()
        assert not demo.serves_own_app

    @pytest.mark.parametrize(
        ("deployments", "connections"), [((), 80), (("gevent-uwsgi-blocking",), 80)]
    )
    def test_the_database_grants_what_the_pools_may_open(
        self, world: World, tmp_path: Path, deployments: tuple[str, ...], connections: int
    ) -> None:
        carry_out(a_request(*deployments, workload="db", results=tmp_path), world.watch)
        assert world.runners[0].options.database_connections == connections

    def test_no_password_in_the_record(self, world: World, tmp_path: Path) -> None:
        url = "postgresql://me:hunter2@host/db"
        command = ("flask-bench", "run", f"--database-url={url}", "--database-url", url)
        request = a_request(results=tmp_path, database_url=url, command=command)
        outcome = carry_out(request, world.watch)
        assert "hunter2" not in (outcome.folder / "run.json").read_text()
        assert "postgresql://me:***@host/db" in outcome.run.command
        assert world.runners[0].options.database_url == url
