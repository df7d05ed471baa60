"""A Docker engine without Docker: containers in memory, and what it was asked to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.services.docker import CommandFailedError, Container, Docker


@dataclass(frozen=True)
class FakeDocker(Docker):
    """Makes what Compose is asked to make; `fail` says what goes wrong."""

    program: str = "/usr/bin/docker"
    compose: tuple[str, ...] = ("/usr/bin/docker-compose",)
    engine_version: str = "28.2.2"
    compose_version: str = "1.29.2"
    made: dict[str, Container] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    settings: list[Mapping[str, str]] = field(default_factory=list)
    fail: dict[str, str] = field(default_factory=dict)
    """First word of a call → what it says when it fails."""
    health: str | None = "healthy"

    def call(self, *arguments: str, within: float = 0.0) -> str:
        del within
        self._note(arguments)
        if arguments[0] == "rm":
            for each in arguments[3:]:
                del self.made[each]
        return ""

    def call_compose(
        self,
        file: Path,
        project: str,
        *arguments: str,
        settings: Mapping[str, str],
        within: float,
        finish_within: float,
    ) -> str:
        del project, within, finish_within
        self.settings.append(settings)
        self._note((*arguments, f"({file.name})"))
        if arguments[0] == "up":
            for service in arguments[1:]:
                if not service.startswith("-"):
                    self._make(service)
        return "said\n"

    def containers(self, project: str, *services: str) -> list[str]:
        del project
        return [i for s in services for i, each in self.made.items() if each.service == s]

    def inspect(self, ids: list[str] | tuple[str, ...]) -> list[Container]:  # type: ignore[override]
        if any(each not in self.made for each in ids):
            raise CommandFailedError("no such object")
        return [self.made[each] for each in ids]

    def log(self, container: str, lines: int | None = None) -> str:
        del lines
        if container not in self.made:
            raise CommandFailedError("no such container")
        return f"log of {self.made[container].service}\n"

    def change(self, service: str, **facts: object) -> None:
        """Let something happen to a container."""
        for name, each in self.made.items():
            if each.service == service:
                self.made[name] = replace(each, **facts)  # type: ignore[arg-type]

    def _make(self, service: str) -> None:
        name = f"{service}-{len(self.calls)}"
        self.made[name] = Container(
            id=name,
            service=service,
            status="running",
            pid=2**22 + len(self.calls),
            exit_code=0,
            restarts=0,
            out_of_memory=False,
            health=self.health,
            error="",
            image=f"flask-bench/{service}",
            image_id="sha256:0123456789abcdef",
        )

    def _note(self, arguments: tuple[str, ...]) -> None:
        self.calls.append(" ".join(arguments))
        if said := self.fail.get(arguments[0]):
            raise CommandFailedError(said, said)
