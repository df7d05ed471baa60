"""Serve the app in its own interpreter, send it requests, and ask what they did to it."""

import http.client
import json
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.doctor.blocking.observed import Answer, Block, Observed, Snapshot, block, snapshot
from bench.errors import TrialError, UsageError
from bench.own_app.app import OwnApp
from bench.own_app.scripts import IMPORT_WITHIN, STOP_WITHIN, environment_of
from bench.processes.guardian import Guardian
from bench.processes.ports import free_port
from bench.processes.process import ServerProcess
from bench.processes.ready import wait_until_ready

SCRIPT = Path(__file__).with_name("served.py")
BLOCKED = 0.1
"""Seconds without a switch that count as blocking: gevent's own `max_blocking_time`."""
AT_ONCE = 8
WARM_UP = 2
"""Requests that count for nothing: what an app does once is done in them."""
FEWEST = 3
"""Requests alone, however slow they are."""
SHARE_ALONE = 0.4
"""Of the time, for the requests that are sent one after the other."""
PROBE_WITHIN = 2.0
"""Seconds for a look whether the app is up."""


class NoAnswerError(TrialError):
    """A request was not answered in its time; what blocks the loop, if anything does, is known."""

    def __init__(self, text: str, stuck: Block | None) -> None:
        super().__init__(text)
        self.stuck = stuck


def observe(
    app: OwnApp, url_path: str, *, guardian: Guardian, requests: int, seconds: float
) -> Observed:
    """Serve the app and request one URL: alone, then several times at once.

    Raises:
        UsageError: the app's interpreter has no gevent.
        NoAnswerError: a request took too long.
        TrialError: the app cannot be imported or served.

    """
    with _served(app, guardian) as served:
        until = time.monotonic() + seconds
        for _ in range(WARM_UP):
            served.get(url_path, until)
        before = served.snapshot(until, query="?start")
        alone = list[Answer]()
        enough = time.monotonic() + SHARE_ALONE * seconds
        while len(alone) < requests and (len(alone) < FEWEST or time.monotonic() < enough):
            alone.append(served.get(url_path, until))
        after_alone = served.snapshot(until)
        begun = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            together = list(pool.map(lambda _: served.get(url_path, until), range(AT_ONCE)))
        took = time.monotonic() - begun
        after = served.snapshot(until)
    return Observed(url_path, tuple(alone), tuple(together), took, before, after_alone, after)


@dataclass(frozen=True)
class _Served:
    process: ServerProcess
    port: int
    control: str
    answered: Path

    def get(self, path: str, until: float) -> Answer:
        """Request a path once, over a connection of its own; redirects are not followed."""
        begun = time.monotonic()
        response, _ = self._ask(path, until - begun)
        took = time.monotonic() - begun
        return Answer(response.status, response.getheader("Location"), took)

    def snapshot(self, until: float, query: str = "") -> Snapshot:
        _, body = self._ask(self.control + query, until - time.monotonic())
        return snapshot(json.loads(body))

    def told(self) -> dict[str, Any]:
        """Return what it has written; empty: nothing."""
        try:
            result = json.loads(self.answered.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return result if isinstance(result, dict) else {}

    def why_not_ready(self) -> str | None:
        try:
            self._ask(self.control, PROBE_WITHIN)
        except NoAnswerError as error:
            return str(error)
        return None

    def _ask(self, path: str, within: float) -> tuple[http.client.HTTPResponse, bytes]:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=max(within, 0.01))
        try:
            client.request("GET", path, headers={"Connection": "close"})
            response = client.getresponse()
            return response, response.read()
        except (OSError, http.client.HTTPException) as error:
            stuck = self.told().get("stuck")
            raise NoAnswerError(
                f"GET {path} was not answered: {type(error).__name__}: {error}",
                block(stuck) if stuck else None,
            ) from error
        finally:
            client.close()


@contextmanager
def _served(app: OwnApp, guardian: Guardian) -> Iterator[_Served]:
    with guardian.temporary_directory() as folder:
        port, control = free_port(), f"/.flask-bench-{secrets.token_hex(8)}"
        asked, answered = folder / "request.json", folder / "result.json"
        request = {
            "app": app.spec,
            "folder": str(app.folder),
            "port": port,
            "control": control,
            "threshold": BLOCKED,
        }
        asked.write_text(json.dumps(request), "utf-8")
        process = ServerProcess(
            "the probed app",
            [str(app.python), str(SCRIPT), str(asked), str(answered)],
            environment=environment_of(app)
            | {
                "GEVENT_MONITOR_THREAD_ENABLE": "1",
                "GEVENT_MAX_BLOCKING_TIME": str(BLOCKED),
                "GEVENT_PRINT_BLOCKING_REPORTS": "0",
            },
            cwd=app.folder,
            log=folder / "output.log",
            guardian=guardian,
            grace=STOP_WITHIN,
        )
        with process:
            served = _Served(process, port, control, answered)
            _wait(served, app)
            yield served


def _wait(served: _Served, app: OwnApp) -> None:
    try:
        wait_until_ready(
            served.why_not_ready, [served.process], deadline=IMPORT_WITHIN, what=app.spec
        )
    except TrialError as error:
        told = served.told()
        if "missing" in told:
            raise UsageError(
                f"the probe serves your app under gevent, which its interpreter lacks. Install it:"
                f" {app.python} -m pip install gevent"
            ) from error
        if "error" in told:
            raise TrialError(
                f"{app.spec} cannot be served, its import failed: {told['error']}\n"
                f"{told['traceback'].rstrip()}"
            ) from error
        raise
