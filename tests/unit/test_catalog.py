from dataclasses import replace
from pathlib import Path

import pytest

from bench.catalog import Catalog, load_catalog
from bench.errors import UsageError
from bench.model import Load

CHECKOUT = Path(__file__).resolve().parents[2]
DEPLOYMENTS = (
    *("devserver", "devserver-threaded", "gevent-pywsgi", "sync-gunicorn", "gevent-gunicorn"),
    *("sync-uwsgi", "gevent-uwsgi", "nginx-gunicorn", "nginx-uwsgi", "gevent-uwsgi-blocking"),
)
PEERS = (
    *("peer-uvicorn-starlette", "peer-sanic", "peer-granian-starlette", "peer-granian-flask"),
    *("peer-waitress-flask", "peer-hypercorn-quart"),
)
SOUND_DEPLOYMENTS = """
[one]
title = "One"
server = "werkzeug"
command = ["flask", "run"]
copy = []
"""
SOUND_WORKLOADS = """
[api]
purpose = "to wait"
path = "/?delay={delay}"
delay = 1.0
requests = 20
concurrency = 2
"""


def catalog_of(
    folder: Path,
    deployments: str = SOUND_DEPLOYMENTS,
    workloads: str = SOUND_WORKLOADS,
    variants: str = "",
) -> Catalog:
    (folder / "variants.toml").write_text(variants)
    (folder / "deployments.toml").write_text(deployments)
    (folder / "workloads.toml").write_text(workloads)
    return load_catalog(folder)


def problems_of(folder: Path, **files: str) -> str:
    with pytest.raises(UsageError) as caught:
        catalog_of(folder, **files)
    return str(caught.value)


class TestTheShippedCatalog:
    def test_it_has_all_deployments_and_workloads(self) -> None:
        catalog = load_catalog()
        assert tuple(catalog.deployments) == (*DEPLOYMENTS, *PEERS)
        assert tuple(catalog.workloads) == ("api", "db", "busy", "hello", "cpu")

    @pytest.mark.parametrize("name", DEPLOYMENTS)
    def test_the_files_to_copy_are_there(self, name: str) -> None:
        deployment = load_catalog().deployment(name)
        files = [*deployment.copy, *filter(None, [deployment.proxy])]
        assert [file for file in files if not (CHECKOUT / file).is_file()] == []

    @pytest.mark.parametrize("name", DEPLOYMENTS)
    def test_the_started_files_are_those_to_copy(self, name: str) -> None:
        deployment = load_catalog().deployment(name)
        started = {
            word.replace("{flask_app}", "flask_app")
            for word in deployment.command
            if word.startswith("{flask_app}/")
        } | set(filter(None, [deployment.proxy]))
        if name == "gevent-uwsgi-blocking":  # a control, not to be copied
            assert deployment.copy == ()
        else:
            assert started <= set(deployment.copy)

    def test_servers_with_workers_have_the_same_number(self) -> None:
        found = {d.name: d.workers for d in load_catalog().deployments.values() if d.workers}
        assert found.pop("gevent-uwsgi-blocking") == 1
        assert set(found.values()) == {4}

    def test_the_control_runs_only_with_a_database(self) -> None:
        catalog = load_catalog()
        for workload in catalog.workloads.values():
            names = tuple(d.name for d in catalog.chosen((), workload))
            expected = DEPLOYMENTS if workload.name == "db" else DEPLOYMENTS[:-1]
            assert names == expected

    def test_the_control_named_for_another_workload_says_where_it_belongs(self) -> None:
        catalog = load_catalog()
        with pytest.raises(UsageError, match=r"uses the database, and api does not.*WORKLOAD=db"):
            catalog.chosen(["gevent-uwsgi-blocking"], catalog.workload("api"))

    def test_one_request_at_a_time_gets_a_small_load(self) -> None:
        for workload in load_catalog().workloads.values():
            assert workload.load_for["devserver"].concurrency == 5
        assert load_catalog().workload("db").load_for["gevent-uwsgi-blocking"] == Load(5, 10)

    def test_peers_run_only_where_they_are_named(self) -> None:
        catalog = load_catalog()
        busy = catalog.workload("busy")
        assert not [d.name for d in catalog.chosen((), busy) if d.group]
        peers = catalog.chosen(("peers",), busy)
        assert tuple(d.name for d in peers) == PEERS
        both = catalog.chosen(("gevent-uwsgi", "peers", "peer-sanic"), busy)
        assert tuple(d.name for d in both) == ("gevent-uwsgi", *PEERS)
        assert not [d.name for d in peers if d.processes != 4 and d.server != "waitress"]

    def test_every_variant_can_be_applied_and_has_its_files(self) -> None:
        catalog = load_catalog()
        for variant in catalog.variants.values():
            suited = [d for d in catalog.deployments.values() if variant.suits_to(d)]
            assert suited, variant.name
            for deployment in suited:
                changed = catalog.deployment(f"{deployment.name}@{variant.name}")
                same = replace(changed, name=deployment.name, title=deployment.title)
                assert same != deployment, changed.name
                assert not [file for file in changed.copy if not (CHECKOUT / file).is_file()]


VARIANTS = """
[other-client]
title = "another client"
overlay = "bench/variants/urllib3"
[other-files]
title = "other files"
overlay = "bench/variants/session"
[setting]
title = "a setting"
environment = { A = "1" }
[arguments.arguments]
werkzeug = ["--debug"]
[arguments]
title = "more arguments"
[command.commands]
one = ["python", "one.py"]
[command]
title = "another command"
[workers.workers]
one = 7
[workers]
title = "another number of workers"
[two-only]
title = "for the second"
suits = ["two"]
backlog = 5
"""
TWO = (
    SOUND_DEPLOYMENTS
    + """
[two]
title = "Two"
server = "gunicorn"
command = ["gunicorn"]
workers = 2
copy = ["flask_app/gunicorn.conf.py"]
[peer]
title = "A peer"
server = "werkzeug"
group = "peers"
command = ["peer"]
copy = []
"""
)


class TestVariants:
    @pytest.fixture(name="catalog")
    def _catalog(self, tmp_path: Path) -> Catalog:
        return catalog_of(tmp_path, deployments=TWO, variants=VARIANTS)

    def test_each_changes_what_it_says(self, catalog: Catalog) -> None:
        assert catalog.deployment("one@setting").environment == {"A": "1"}
        assert catalog.deployment("one@arguments").command == ("flask", "run", "--debug")
        assert catalog.deployment("one@command").command == ("python", "one.py")
        assert catalog.deployment("one@workers").workers == 7
        assert catalog.deployment("two@two-only").backlog == 5
        changed = catalog.deployment("two@other-client")
        assert changed.overlay == "bench/variants/urllib3"
        assert changed.copy == (
            "flask_app/gunicorn.conf.py",
            "bench/variants/urllib3/http_client.py",
        )
        assert changed.title == "Two: another client"
        assert (changed.base_name, changed.variant) == ("two", "other-client")

    def test_several_go_together(self, catalog: Catalog) -> None:
        changed = catalog.deployment("one@other-client+setting+command+arguments")
        assert changed.overlay == "bench/variants/urllib3"
        assert changed.environment == {"A": "1"}
        assert changed.command == ("python", "one.py", "--debug")
        assert changed.name == "one@other-client+setting+command+arguments"

    def test_two_that_replace_files_do_not(self, catalog: Catalog) -> None:
        with pytest.raises(UsageError, match="more than one of these replaces files"):
            catalog.deployment("one@other-client+other-files")

    @pytest.mark.parametrize(
        ("name", "known"),
        [
            ("one@two-only", "other-client, other-files, setting, arguments, command, workers"),
            ("one@", "other-client, other-files, setting, arguments, command, workers"),
            ("two@arguments", "other-client, other-files, setting, two-only"),
            ("peer@setting", ""),
        ],
    )
    def test_one_that_does_not_suit_is_unknown(
        self, catalog: Catalog, name: str, known: str
    ) -> None:
        with pytest.raises(UsageError) as caught:
            catalog.deployment(name)
        assert f"no variant of {name.partition('@')[0]} is called" in str(caught.value)
        assert str(caught.value).endswith(f"Known: {known}")

    def test_a_near_miss_is_named(self, catalog: Catalog) -> None:
        with pytest.raises(UsageError, match="Did you mean setting"):
            catalog.deployment("one@seting")

    def test_a_variant_of_nothing_is_a_problem(self, tmp_path: Path) -> None:
        message = problems_of(
            tmp_path, variants="[a]\ntitle = 'A'\nsuits = ['three']\ncolour = 1\n"
        )
        assert "variants.toml: a.colour: Unexpected keyword argument" in message
        message = problems_of(tmp_path, variants="[a]\ntitle = 'A'\nsuits = ['three']\n")
        assert "variants.toml: a: no deployment is called three" in message


class TestNames:
    @pytest.mark.parametrize(
        ("typed", "nearest"),
        [("gevent-uswgi", "gevent-uwsgi"), ("dev-server", "devserver"), ("gunicorn", "sync-gun")],
    )
    def test_an_unknown_deployment_gets_the_nearest_and_the_list(
        self, typed: str, nearest: str
    ) -> None:
        with pytest.raises(UsageError) as caught:
            load_catalog().deployment(typed)
        message = str(caught.value)
        assert f"no deployment is called {typed!r}. Did you mean {nearest}" in message
        assert message.endswith(f"Known: {', '.join((*DEPLOYMENTS, *PEERS))}")

    def test_nothing_near_gets_only_the_list(self) -> None:
        with pytest.raises(UsageError) as caught:
            load_catalog().workload("zzzz")
        assert str(caught.value) == (
            "no workload is called 'zzzz'.\nKnown: api, db, busy, hello, cpu"
        )

    def test_a_name_given_twice_is_run_once(self) -> None:
        catalog = load_catalog()
        chosen = catalog.chosen(
            ["sync-uwsgi", "devserver", "sync-uwsgi"], catalog.workload("hello")
        )
        assert [d.name for d in chosen] == ["sync-uwsgi", "devserver"]


class TestProblems:
    def test_a_sound_catalog_has_none(self, tmp_path: Path) -> None:
        catalog = catalog_of(tmp_path)
        assert catalog.deployment("one").title == "One"
        assert catalog.workload("api").load == Load(2, requests=20)

    def test_all_problems_of_both_files_at_once(self, tmp_path: Path) -> None:
        message = problems_of(
            tmp_path,
            deployments=SOUND_DEPLOYMENTS + "wrokers = 4\nthreads = 'many'\n[two]\ntitle = 'Two'\n",
            workloads=SOUND_WORKLOADS + "colour = 'red'\n[api.load_for.three]\nconcurrency = 1\n",
        )
        for problem in (
            "deployments.toml: one.wrokers: Unexpected keyword argument",
            "deployments.toml: one.threads: Input should be a valid integer",
            "deployments.toml: two.server: Field required",
            "deployments.toml: two.command: Field required",
            "workloads.toml: api.colour: Unexpected keyword argument",
            "workloads.toml: api.load_for.three",
        ):
            assert problem in message

    def test_a_load_for_an_unknown_deployment(self, tmp_path: Path) -> None:
        load_for = "[api.load_for.two]\nrequests = 1\nconcurrency = 1\n"
        message = problems_of(tmp_path, workloads=SOUND_WORKLOADS + load_for)
        assert "workloads.toml: api.load_for.two: no deployment has this name" in message

    @pytest.mark.parametrize(
        ("changed", "to"), [("requests = 20", ""), ("requests = 20", "requests = 20\nduration = 1")]
    )
    def test_a_load_needs_exactly_one_end(self, tmp_path: Path, changed: str, to: str) -> None:
        message = problems_of(tmp_path, workloads=SOUND_WORKLOADS.replace(changed, to))
        assert "workloads.toml: api.load: " in message
        assert "exactly one of them" in message

    def test_a_service_that_there_is_not(self, tmp_path: Path) -> None:
        message = problems_of(tmp_path, workloads=SOUND_WORKLOADS + 'uses = ["redis"]\n')
        assert "workloads.toml: api.uses.0: Input should be 'api' or 'database'" in message

    @pytest.mark.parametrize("text", ["[one\n", 'one = "two"', "[[one]]\ntitle = 'x'\n"])
    def test_what_is_no_table_is_a_problem_and_no_crash(self, tmp_path: Path, text: str) -> None:
        for name in ("deployments", "workloads", "variants"):
            assert f"{name}.toml: " in problems_of(tmp_path, **{name: text})

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError) as caught:
            load_catalog(tmp_path)
        assert "deployments.toml: " in str(caught.value)
        assert "workloads.toml: " in str(caught.value)
