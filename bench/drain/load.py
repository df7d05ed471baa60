"""The load client as a process: started with orders, steady, ended, and what it has seen."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.drain.client import CONNECT_WITHIN, Orders
from bench.drain.model import Exchange, Fate, Probe, Seen
from bench.errors import TrialError
from bench.processes.guardian import Guardian
from bench.processes.process import ServerProcess
from bench.processes.ready import wait_until_ready
from bench.services.surroundings import base_environment

STEADY_WITHIN = 30.0
"""Seconds, beside the time limit of a request, until every client has had its first answer."""
_CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class RunningLoad:
    """A load that goes on."""

    process: ServerProcess
    orders: Orders
    result: Path

    def wait_until_steady(self) -> None:
        """Return when every client has had an answer.

        Raises:
            TrialError: one of them gets none.

        """
        steady = self.result.with_suffix(".steady")
        wait_until_ready(
            lambda: None if steady.exists() else "not every client has had a right answer",
            [self.process],
            deadline=STEADY_WITHIN + self.orders.answer_within,
            what="the load",
        )

    def end(self) -> Seen:
        """Let what is under way come to its end, and return what was seen.

        Raises:
            TrialError: the client has failed.

        """
        self.process.check_running()
        os.kill(self.process.pid, signal.SIGTERM)
        code = self.process.wait(self.process.grace)
        if code or not self.result.exists():
            raise TrialError(f"the load client did not end well; {self.process.describe_log()}")
        found = json.loads(self.result.read_text("utf-8"))
        return Seen(
            tuple(Exchange(b, e, Fate(fate), text) for b, e, fate, text in found["exchanges"]),
            tuple(Probe(at, state) for at, state in found["probes"]),
        )


@contextmanager
def running_load(orders: Orders, folder: Path, guardian: Guardian) -> Iterator[RunningLoad]:
    """Put load on a target; it has ended afterwards."""
    asked, answered = folder / "load_orders.json", folder / "load_seen.json"
    asked.write_text(json.dumps(asdict(orders)), "utf-8")
    process = ServerProcess(
        "the load client",
        [sys.executable, "-P", "-m", "bench.drain.client", str(asked), str(answered)],
        environment={**base_environment(), "PYTHONPATH": str(_CHECKOUT)},
        cwd=folder,
        log=folder / "load.log",
        guardian=guardian,
        grace=orders.answer_within + CONNECT_WITHIN + 5.0,
    )
    with process:
        try:
            yield RunningLoad(process, orders, answered)
        except BaseException:
            process.grace = 0.5  # nobody is interested any more in what it has seen
            raise


def sleep_until(moment: float) -> None:
    """Sleep until a moment of the monotonic clock, if that is still to come."""
    time.sleep(max(0.0, moment - time.monotonic()))
