"""Load generators: programs that send the requests of a trial and count what comes back.

A new one is a file here with a class that satisfies ``LoadGenerator``, and a line in the table.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from bench.errors import UsageError
from bench.load.child import Guardian
from bench.model import Ask, Load, Measurement

LOAD_GENERATORS = {
    "ab": "bench.load.ab.Ab",
    "builtin": "bench.load.builtin.Builtin",
}
"""Name → dotted path of the class, imported only when it is chosen."""
FOR_ONE_REQUEST = "ab"
FOR_SEVERAL_REQUESTS = "builtin"
"""Which of them is taken where nobody says."""


class LoadGenerator(Protocol):
    """What the harness asks of a load generator."""

    lone_requests: int
    """Requests that it sends one by one before the concurrent load: its ceiling depends on it."""
    several_requests: bool
    """Whether it can send more than one kind of request in one load."""

    @property
    def version(self) -> str:
        """Name and version, as recorded with each measurement."""

    def check(self, load: Load) -> None:
        """Raise MissingToolError if it is not installed, UsageError if it cannot do this load."""

    def run(
        self,
        asks: Sequence[Ask],
        load: Load,
        *,
        folder: Path,
        timeout: float,
        deadline: float | None = None,
        progress: Callable[[float], None] | None = None,
        guardian: Guardian | None = None,
    ) -> Measurement:
        """Send the load and return what came back; TrialError if nothing is known.

        ``asks``: one request, or several in the proportion of their weights. Raw output is kept in
        ``folder``. ``timeout``: seconds to wait for a response; ``deadline``: seconds that the
        whole load may take. ``progress`` is told the part that is done, from 0 to 1.
        """


def load_generator(name: str) -> LoadGenerator:
    """Return the load generator of this name; UsageError lists the known ones."""
    if name not in LOAD_GENERATORS:
        known = ", ".join(sorted(LOAD_GENERATORS))
        raise UsageError(f"unknown load generator {name!r}: choose one of {known}")
    module, _, attribute = LOAD_GENERATORS[name].rpartition(".")
    generator = getattr(import_module(module), attribute)
    return cast("LoadGenerator", generator())
