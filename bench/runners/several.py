"""Several runners in one run: each deployment is brought up by its own."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.model import Deployment, Running, Workload
from bench.runners import RunnerOptions, make_runner


class SeveralRunners:
    """Hands each deployment on to the runner that it names, and is a runner itself."""

    def __init__(self, names: Sequence[str], options: RunnerOptions) -> None:
        self._runners = {name: make_runner((name,), options) for name in names}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for runner in self._runners.values():
                stack.enter_context(runner)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    @property
    def versions(self) -> Mapping[str, str]:
        """What any of them knows."""
        return {k: v for runner in self._runners.values() for k, v in runner.versions.items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """What any of them has to say."""
        return tuple(note for runner in self._runners.values() for note in runner.notes)

    def left_out(self, deployments: Sequence[Deployment]) -> Mapping[str, str]:
        """Return what each runner leaves out of its own deployments."""
        return {
            deployment: why
            for name, runner in self._runners.items()
            for deployment, why in runner.left_out(
                [d for d in deployments if d.runner == name]
            ).items()
        }

    def up(
        self, deployment: Deployment, workload: Workload, folder: Path
    ) -> AbstractContextManager[Running]:
        """Start it where it is to run."""
        return self._runners[deployment.runner].up(deployment, workload, folder)
