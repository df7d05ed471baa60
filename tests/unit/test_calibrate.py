import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flask import Flask

from bench.analysis.calibration import BASE, TWIN
from bench.calibrate import (
    PILOT_HANDICAP,
    CalibrationRequest,
    estimate,
    handicap_rounds,
    plan_calibration,
)
from bench.errors import TrialError, UsageError
from bench.handicap import Handicap, handicapped
from bench.model import Load
from tests.unit.factories import a_deployment


def a_request(**changes: Any) -> CalibrationRequest:
    request = CalibrationRequest(
        deployment="gevent-gunicorn",
        workload="hello",
        workers=1,
        concurrency=None,
        duration=2.0,
        rounds=5,
        comparisons=4,
        handicaps=(0.05, 0.10),
        seed=1,
        generator="ab",
        results=Path("results"),
        command=("flask-bench", "calibrate"),
    )
    return replace(request, **changes)


class TestPlan:
    SUBJECTS = tuple(a_deployment(name) for name in (BASE, TWIN, "cpu+5", "cpu+10"))
    PLAN = plan_calibration(SUBJECTS, Load(10, duration=2), a_request(), seed=1)

    def test_every_round_has_the_same_twice(self) -> None:
        for name in (BASE, TWIN):
            rounds = [p.round for p in self.PLAN if p.deployment.name == name]
            assert rounds == list(range(1, 21))

    def test_every_other_block_has_the_handicaps(self) -> None:
        rounds = [p.round for p in self.PLAN if p.deployment.name == "cpu+5"]
        assert rounds == [1, 2, 3, 4, 5, 11, 12, 13, 14, 15]

    def test_the_order_is_random_and_can_be_repeated(self) -> None:
        again = plan_calibration(self.SUBJECTS, Load(10, duration=2), a_request(), seed=1)
        other = plan_calibration(self.SUBJECTS, Load(10, duration=2), a_request(), seed=2)
        assert again == self.PLAN
        assert other != self.PLAN

    def test_its_time_is_known_before(self) -> None:
        """60 trials and the pilot's 10, of 2 s each and what a trial takes beside."""
        assert estimate(a_request()) > 70 * 2.0
        assert estimate(a_request(comparisons=8)) > 1.8 * estimate(a_request())


@pytest.mark.parametrize("handicap", [0.0, -0.1, 5.0 * 100])
def test_a_handicap_is_a_part(handicap: float) -> None:
    with pytest.raises(UsageError, match="a handicap is a part"):
        a_request(handicaps=(handicap,))


class TestPilot:
    def test_rounds_that_cost_as_much_as_a_request(self) -> None:
        """The handicap doubled the cost, in the median: it is 100%."""
        pilot = [(0.5, 1.0), (0.4, 9.0), (0.6, 1.0)]
        assert handicap_rounds(pilot) == pytest.approx(PILOT_HANDICAP)

    def test_a_handicap_that_costs_nothing(self) -> None:
        with pytest.raises(TrialError, match="too busy"):
            handicap_rounds([(0.5, 0.5)])


class TestHandicap:
    def test_a_flask_app_stays_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        module = ModuleType("shop")
        app = Flask("shop")
        app.add_url_rule("/", view_func=lambda: "sold")
        monkeypatch.setattr(module, "create_app", lambda: app, raising=False)
        monkeypatch.setitem(sys.modules, "shop", module)
        assert handicapped("shop:create_app()", 10) is app
        assert isinstance(app.wsgi_app, Handicap)
        assert app.test_client().get("/").text == "sold"

    def test_any_wsgi_app_is_wrapped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        module = ModuleType("plain")
        monkeypatch.setattr(module, "app", lambda _environ, _start: [b"plain"], raising=False)
        monkeypatch.setitem(sys.modules, "plain", module)
        wrapped = handicapped("plain:app", 10)
        assert list(wrapped({}, lambda *_: lambda _: None)) == [b"plain"]
