from collections.abc import Callable

import pytest

from bench.services.docker import CommandFailedError, Docker
from bench.services.docker_cleanup import ATTEMPTS, remove_project


class Engine(Docker):
    """An engine with these things in it."""

    def __init__(self, **things: list[str]) -> None:
        super().__init__("docker", (), "", "")
        object.__setattr__(self, "things", things)
        object.__setattr__(self, "calls", [])
        object.__setattr__(self, "before_each", lambda _: None)

    things: dict[str, list[str]]
    calls: list[tuple[str, ...]]
    before_each: Callable[[tuple[str, ...]], None]

    def call(self, *arguments: str, within: float = 0.0) -> str:
        del within
        self.before_each(arguments)
        self.calls.append(arguments)
        kind, verb, *rest = arguments
        if verb == "ls":
            assert rest[-1] == "label=com.docker.compose.project=shop"
            return "\n".join(self.things.get(kind, []))
        for name in (each for each in rest if not each.startswith("-")):
            self.things[kind].remove(name)
        return ""


def no_pause(seconds: float) -> None:
    del seconds


def test_everything_goes_and_networks_after_the_containers_in_them() -> None:
    engine = Engine(network=["n"], container=["a", "b"], volume=["v"])

    assert remove_project(engine, "shop", sleep=no_pause) == []

    assert not any(engine.things.values())
    assert [call for call in engine.calls if call[1] == "rm"] == [
        ("container", "rm", "--force", "--volumes", "a", "b"),
        ("network", "rm", "n"),
        ("volume", "rm", "--force", "v"),
    ]


def test_what_is_in_use_is_tried_again() -> None:
    engine = Engine(network=["n"])
    refusals = iter([True, True])

    def refuse(arguments: tuple[str, ...]) -> None:
        if "rm" in arguments and next(refusals, False):
            raise CommandFailedError("network has active endpoints")

    object.__setattr__(engine, "before_each", refuse)

    assert remove_project(engine, "shop", sleep=no_pause) == []
    assert engine.things == {"network": []}


def test_what_cannot_be_removed_is_told_after_a_while() -> None:
    engine = Engine(container=["stuck"])
    pauses = list[float]()

    def refuse(arguments: tuple[str, ...]) -> None:
        if "rm" in arguments:
            raise CommandFailedError("device or resource busy")

    object.__setattr__(engine, "before_each", refuse)

    assert remove_project(engine, "shop", sleep=pauses.append) == ["container stuck"]
    assert len(pauses) == ATTEMPTS - 1


def test_what_appears_late_is_removed_too() -> None:
    engine = Engine(container=["first"])

    def late(seconds: float) -> None:
        del seconds
        if sum(1 for call in engine.calls if call[:2] == ("container", "ls")) == 2:
            engine.things["container"].append("late")

    assert remove_project(engine, "shop", looks=4, sleep=late) == []
    assert engine.things == {"container": []}


def test_an_engine_that_is_gone_is_an_error() -> None:
    engine = Engine()

    def gone(arguments: tuple[str, ...]) -> None:
        raise CommandFailedError(f"no engine for {arguments}")

    object.__setattr__(engine, "before_each", gone)
    with pytest.raises(CommandFailedError):
        remove_project(engine, "shop", sleep=no_pause)
