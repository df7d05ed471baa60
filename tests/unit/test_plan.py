import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UsageError
from bench.model import Load, Request
from bench.plan import (
    LONGEST_DELAY,
    OVERHEAD,
    UNKNOWN_RATE,
    LoadOverride,
    PlannedTrial,
    estimated_seconds,
    load_of,
    plan_trials,
    with_delay,
    with_own_path,
    with_request,
)
from bench.request_input import headers_of
from tests.unit.factories import a_database_workload, a_deployment, a_workload

CHECKOUT = Path(__file__).resolve().parents[2]
LOAD = Load(5, requests=10)
NAMES = [f"server-{letter}" for letter in "abcdefgh"]
DEPLOYMENTS = [a_deployment(name) for name in NAMES]

some = st.integers(1, 10_000)
seconds = st.floats(0.5, 1000)
loads = st.builds(Load, some, requests=some) | st.builds(Load, some, duration=seconds)
overrides = st.builds(LoadOverride, requests=st.none() | some, concurrency=st.none() | some) | (
    st.builds(LoadOverride, duration=st.none() | seconds, concurrency=st.none() | some)
)


def order(rounds: int, seed: int) -> list[str]:
    plan = plan_trials(DEPLOYMENTS, lambda _: LOAD, rounds=rounds, seed=seed)
    return [planned.deployment.name for planned in plan]


class TestOrder:
    @given(st.integers(1, 6), st.integers())
    def test_each_round_has_every_deployment_once(self, rounds: int, seed: int) -> None:
        plan = plan_trials(DEPLOYMENTS, lambda _: LOAD, rounds=rounds, seed=seed)
        assert [planned.round for planned in plan] == [
            number for number in range(1, rounds + 1) for _ in NAMES
        ]
        for number in range(1, rounds + 1):
            names = [planned.deployment.name for planned in plan if planned.round == number]
            assert sorted(names) == NAMES

    @given(st.integers())
    def test_the_same_seed_gives_the_same_order(self, seed: int) -> None:
        assert order(3, seed) == order(3, seed)

    def test_rounds_and_seeds_have_orders_of_their_own(self) -> None:
        rounds = order(10, seed=1)
        assert len({tuple(rounds[i : i + 8]) for i in range(0, 80, 8)}) == 10
        assert len({tuple(order(1, seed)) for seed in range(10)}) == 10

    def test_no_place_belongs_to_one_deployment(self) -> None:
        first = {order(1, seed)[0] for seed in range(200)}
        assert first == set(NAMES)

    def test_each_deployment_gets_its_own_load(self) -> None:
        plan = plan_trials(
            DEPLOYMENTS,
            lambda d: Load(len(d.name) + ord(d.name[-1]), requests=1),
            rounds=2,
            seed=0,
        )
        assert all(p.load.concurrency == 8 + ord(p.deployment.name[-1]) for p in plan)


class TestOverride:
    def test_requests_and_duration_exclude_each_other(self) -> None:
        with pytest.raises(UsageError, match="REQUESTS or DURATION, not both"):
            LoadOverride(requests=1, duration=1.0)

    @given(loads)
    def test_nothing_asked_for_changes_nothing(self, load: Load) -> None:
        assert LoadOverride().apply(load) == load

    @given(loads, overrides)
    def test_what_was_asked_for_is_what_one_gets(self, load: Load, override: LoadOverride) -> None:
        got = override.apply(load)
        assert got.concurrency == (override.concurrency or load.concurrency)
        if override.requests:
            assert (got.requests, got.duration) == (override.requests, None)
        elif override.duration:
            assert (got.requests, got.duration) == (None, override.duration)
        else:
            assert (got.requests, got.duration) == (load.requests, load.duration)


class TestLoadOf:
    @given(loads, overrides, st.booleans())
    def test_without_a_load_of_its_own(
        self, load: Load, override: LoadOverride, named: bool
    ) -> None:
        workload = a_workload(load=load)
        got = load_of(a_deployment(), workload, override, named=named)
        assert got == override.apply(load)

    @given(loads, loads, overrides)
    def test_asked_for_by_name_the_override_holds(
        self, load: Load, own: Load, override: LoadOverride
    ) -> None:
        workload = a_workload(load=load, load_for={"devserver": own})
        got = load_of(a_deployment("devserver"), workload, override, named=True)
        assert got == override.apply(own)

    @given(loads, loads, overrides)
    def test_among_all_its_own_load_is_never_raised(
        self, load: Load, own: Load, override: LoadOverride
    ) -> None:
        workload = a_workload(load=load, load_for={"devserver": own})
        got = load_of(a_deployment("devserver"), workload, override, named=False)
        assert got.concurrency <= own.concurrency
        assert got.concurrency <= (override.concurrency or own.concurrency)
        if own.requests is not None:
            assert got.requests == min(own.requests, override.requests or own.requests)
        else:
            assert own.duration is not None
            assert got.duration == min(own.duration, override.duration or own.duration)


class TestDelay:
    @given(st.floats(0, LONGEST_DELAY))
    def test_any_delay_in_range_is_taken(self, delay: float) -> None:
        assert with_delay(a_workload(), delay).delay == delay

    @pytest.mark.parametrize("delay", [-0.001, 30.001, float("inf"), float("nan"), -float("inf")])
    def test_out_of_range_names_the_limit(self, delay: float) -> None:
        with pytest.raises(UsageError, match="allowed are 0 to 30 seconds"):
            with_delay(a_workload(), delay)

    def test_a_workload_without_one_takes_none(self) -> None:
        with pytest.raises(UsageError, match="hello takes no delay; leave DELAY out"):
            with_delay(a_workload("hello", path="/hello", delay=None), 1.0)

    @pytest.mark.parametrize("file", ["flask_app/app.py", "slow_api/server.py"])
    def test_the_limit_is_that_of_the_app_and_the_api(self, file: str) -> None:
        tree = ast.parse((CHECKOUT / file).read_text())
        limits = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MAX_DELAY"
        ]
        assert limits == [LONGEST_DELAY]


class TestOwnPath:
    def test_nothing_is_known_of_it(self) -> None:
        workload = with_own_path(a_database_workload(), "/checkout?a={delay}")
        assert workload.url_path() == "/checkout?a={delay}"
        assert (workload.delay, workload.body, workload.database_share) == (None, None, 0.0)
        assert workload.uses == ("api", "database")
        assert workload.name == "own"

    @pytest.mark.parametrize("path", ["", "checkout", "http://host/", " /"])
    def test_it_begins_with_a_slash(self, path: str) -> None:
        with pytest.raises(UsageError, match="has to begin with a slash"):
            with_own_path(a_workload(), path)

    @pytest.mark.parametrize(
        ("path", "words"),
        [
            ("/a\x00", "%00 to %1F"),
            ("/a\x7f", "%00 to %1F"),
            ("/a#b", "write %23"),
            ("/ü", "ü is %C3%BC"),
        ],
    )
    def test_what_no_client_sends_as_it_is(self, path: str, words: str) -> None:
        with pytest.raises(UsageError, match=words):
            with_own_path(a_workload(), path)


class TestEstimate:
    def test_by_duration(self) -> None:
        trials = [PlannedTrial(1, a_deployment(), Load(5, duration=10.0))] * 2
        assert estimated_seconds(trials, a_workload()) == 2 * (10 + OVERHEAD)

    def test_by_requests_from_the_ceiling(self) -> None:
        trial = PlannedTrial(1, a_deployment(), Load(200, requests=2000))
        # the lone request of ab, then ten waves of a second each
        assert estimated_seconds([trial], a_workload()) == pytest.approx(11 + OVERHEAD)

    def test_without_a_ceiling_from_a_guess(self) -> None:
        trial = PlannedTrial(1, a_deployment(), Load(200, requests=2000))
        expected = 2000 / UNKNOWN_RATE + OVERHEAD
        assert estimated_seconds([trial], a_workload(delay=None)) == expected


class TestRequest:
    def test_what_is_sent_and_what_is_right_for_it(self) -> None:
        request = Request("PATCH", {"Accept": "*/*"}, "{}")
        workload = with_request(a_workload(), request, expect_status=204, expect_body="")
        assert workload.request == request
        assert (workload.status, workload.body) == (204, "")
        assert workload.request_text().startswith("PATCH /")

    def test_what_is_not_said_stays(self) -> None:
        assert with_request(a_workload(), Request()) == a_workload()
        assert a_workload().request_text() == a_workload().url_path()

    @pytest.mark.parametrize("method", ["", "get", "G E T", "A" * 17, "GET\n"])
    def test_no_method(self, method: str) -> None:
        with pytest.raises(UsageError, match="--method"):
            with_request(a_workload(), Request(method))

    @pytest.mark.parametrize("status", [100, 199, 300, 404, 500])
    def test_a_status_that_is_no_success(self, status: int) -> None:
        with pytest.raises(UsageError, match="--expect-status"):
            with_request(a_workload(), Request(), expect_status=status)

    def test_headers(self) -> None:
        lines = ("Accept: text/html", "X-Empty:", "Authorization:Bearer a:b")
        expected = {"Accept": "text/html", "X-Empty": "", "Authorization": "Bearer a:b"}
        assert headers_of(lines) == expected

    @pytest.mark.parametrize("line", ["", "no", ": x", "A b: c", "A: b\r\nC: d", "A: \0"])
    def test_what_is_no_header(self, line: str) -> None:
        with pytest.raises(UsageError, match="Name: value"):
            headers_of((line,))

    @pytest.mark.parametrize("value", ["ü", "日", "a\x80"])
    def test_a_header_that_is_not_ascii(self, value: str) -> None:
        with pytest.raises(UsageError, match="the value of X-Name is not ASCII") as error:
            headers_of((f"X-Name: {value}",))
        assert value not in str(error.value).partition("write")[0], "it may be a secret"

    def test_secrets_are_masked(self) -> None:
        headers = {"AUTHORIZATION": "Bearer x", "Cookie": "a=b", "Accept": "*/*"}
        shown = Request(headers=headers).without_secrets().headers
        assert shown == {"AUTHORIZATION": "***", "Cookie": "***", "Accept": "*/*"}
