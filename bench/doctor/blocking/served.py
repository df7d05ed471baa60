"""Run by the app's own interpreter: serve the app under gevent, and note what blocks its loop.

Called with two paths: a request (JSON: ``app``, ``folder``, ``port``, ``control``, ``threshold``)
and where to write why it could not serve, or what has blocked for a second and still does.
Everything else is asked for by HTTP at the path ``control``. It needs gevent beside the standard
library, and no later Python than 3.8: it runs where the app runs.
"""

# ruff: noqa: ANN401 - an app's objects may be anything
# ruff: noqa: PLC0415 - nothing is imported before the patch that does not have to be

from __future__ import annotations

import functools
import gc
import importlib
import importlib.util
import json
import os
import resource
import socket
import sys
import time
import traceback
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

MOST_OUTPUT = 64 * 1024 * 1024
"""Bytes: an app that prints without end meets an error instead of filling the disk."""
SAMPLE_EVERY = 0.02
"""Seconds between two looks at what a greenlet is doing that does not let go."""
STUCK_AFTER = 1.0
"""Seconds after which what blocks is written down: who asks by HTTP would get no answer."""
MOST_BLOCKS = 1000
DRIVERS = (("psycopg2", "connect"), ("psycopg", "connect"), ("MySQLdb", "connect"))
"""Database drivers that connect in C, where Python's audit events do not reach."""
DATABASE_PORTS = {1433, 1521, 3306, 5432, 6379, 6432, 11211, 27017}
PROCESSES = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}
LIBRARIES = ("site-packages", "dist-packages")


class RunQueue:
    """How long the main thread was ready to run while no core was free: the kernel's schedstat."""

    def __init__(self) -> None:
        try:
            self.file = os.open(f"/proc/self/task/{os.getpid()}/schedstat", os.O_RDONLY)
        except OSError:  # a kernel that does not count it
            self.file = -1

    def seconds(self) -> float:
        """Return it in seconds since the start of the process; 0: it is not counted."""
        if self.file < 0:
            return 0.0
        return int(os.pread(self.file, 100, 0).split()[1]) / 1e9


class Watch:
    """Knows which greenlet runs since when, where it is, and what requests have opened.

    A greenlet that runs for long without a switch blocks the loop. How long is known exactly, by
    greenlet's trace function; where, by samples that gevent's monitor thread takes meanwhile.
    """

    def __init__(self, folder: str, threshold: float, answered: str) -> None:
        self.folder = os.path.realpath(folder) + os.sep
        self.threshold = threshold
        self.answered = answered
        self.hub: Any = None
        self.running: Any = None
        self.counting = False
        self.samples: list[Any] = []
        self.blocks: list[Any] = []
        self.opened: Counter[Any] = Counter()
        self.sockets: weakref.WeakSet[Any] = weakref.WeakSet()
        self.told = 0.0
        self.stuck = (0.0, 0.0)
        self.queue = RunQueue()
        self.begin_span()

    def begin_span(self) -> None:
        """Note that from now on another greenlet runs, or the same one with a clean slate."""
        self.samples = []
        self.queued = self.queue.seconds()
        self.cpu = time.thread_time()
        self.since = time.perf_counter()

    def switched(self, event: str, args: Any) -> None:
        """Note a switch: called by greenlet, in the thread of the loop."""
        if event not in {"switch", "throw"}:
            return
        origin, self.running = args
        seconds = time.perf_counter() - self.since
        if self.counting and seconds >= self.threshold and origin is not self.hub:
            # A machine that gave the core to others is nobody's fault here.
            seconds -= self.queue.seconds() - self.queued
            if seconds >= self.threshold:
                self.note(seconds, time.thread_time() - self.cpu, origin)
        self.begin_span()

    def note(self, seconds: float, cpu: float, greenlet: Any) -> None:
        """Keep a block, with the place that was seen most often in it."""
        if len(self.blocks) >= MOST_BLOCKS:
            return
        samples = [each for each in self.samples if each]
        # Without any the interpreter's lock was held, and nobody could look: where it went on.
        place = Counter(samples).most_common(1)[0][0] if samples else self.place(greenlet.gr_frame)
        self.blocks.append({"seconds": seconds, "cpu": cpu, "place": place})

    def sample(self, hub: Any) -> None:
        """Look at a greenlet that has not let go: called in the monitor's thread."""
        running, since, samples = self.running, self.since, self.samples
        blocked = time.perf_counter() - since
        if self.told and self.stuck[0] != since:  # what was written down has let go meanwhile
            self.told = 0.0
            write({}, self.answered)
        if running is None or running is hub or blocked < self.threshold / 2:
            return
        place = self.place(sys._current_frames().get(hub.thread_ident))
        if since != self.since:  # it has let go meanwhile
            return
        samples.append(place)
        if self.stuck[0] != since:
            self.stuck, self.told = (since, time.process_time()), 0.0
        if blocked - self.told > STUCK_AFTER:
            self.told = blocked
            cpu = time.process_time() - self.stuck[1]
            write({"stuck": {"seconds": blocked, "cpu": cpu, "place": place}}, self.answered)

    def heard(self, event: str, args: Any) -> None:
        """Count what is opened: called for every audit event, in whichever thread."""
        if not self.counting:
            return
        if event == "socket.connect":
            self.connected(*args)
        elif event in PROCESSES:
            self.count("process", event)

    def connected(self, connection: Any, address: Any) -> None:
        """Count a connection that begins."""
        if connection.type != socket.SOCK_STREAM:
            return
        try:
            if connection in self.sockets:  # gevent asks again when it is through
                return
            self.sockets.add(connection)
        except TypeError:  # not gevent's: it asks once
            pass
        if isinstance(address, tuple):
            kind = "database" if address[1] in DATABASE_PORTS else "connection"
            self.count(kind, "{}:{}".format(*address[:2]))
        else:
            path = os.fsdecode(address)
            self.count("database" if ".s.PGSQL." in path else "connection", path)

    def count(self, kind: str, what: str) -> None:
        """Count one more, with the place in the app that it is for."""
        self.opened[kind, what, self.place(sys._getframe(1))] += 1

    def place(self, frame: Any) -> tuple[str, int, str] | None:
        """Return file, line and function of the app's own innermost code, if there is any."""
        while frame is not None:
            code = frame.f_code
            path = os.path.realpath(code.co_filename)
            own = path.startswith(self.folder) and path != __file__
            if own and not any(part in path for part in LIBRARIES):
                return path[len(self.folder) :], frame.f_lineno, code.co_name
            frame = frame.f_back
        return None

    def snapshot(self) -> dict[str, Any]:
        """Return all that is known, and the state of the process."""
        gc.collect()  # what only waits for it is not left open
        try:
            return {
                "cpu": time.process_time(),
                "queued": self.queue.seconds(),
                "threads": sum(1 for _ in Path("/proc/self/task").iterdir()),
                "files": files(),
                "blocks": self.blocks,
                "opened": [[*key, count] for key, count in list(self.opened.items())],
            }
        finally:
            self.begin_span()  # this look is no block of the app's

    def start(self) -> None:
        """Count from now on: what the first requests do once does not matter."""
        self.counting = True
        self.blocks = []
        self.opened = Counter()


def files() -> Counter[str]:
    """Count the open descriptors by what they are: ``socket``, ``pipe``, a path."""
    found: Counter[str] = Counter()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(str(descriptor))  # noqa: PTH115 - Path.readlink is of 3.9
        except OSError:
            continue
        found[target.partition(":[")[0]] += 1
    return found


def write(report: dict[str, Any], answered: str) -> None:
    """Write a report in one step, whoever reads it meanwhile."""
    beside = Path(answered + ".new")
    beside.write_text(json.dumps(report), "utf-8")
    beside.replace(answered)


def count_connects(watch: Watch) -> None:
    """Put a counter before the drivers whose connections nothing else shows."""
    for module, name in DRIVERS:
        if importlib.util.find_spec(module):
            driver = importlib.import_module(module)
            setattr(driver, name, counted(getattr(driver, name), watch, module + "." + name))


def counted(connect: Any, watch: Watch, what: str) -> Any:
    """Return a function that counts and connects."""

    @functools.wraps(connect)
    def connecting(*args: Any, **options: Any) -> Any:
        if watch.counting:
            watch.count("database", what)
        return connect(*args, **options)

    return connecting


def patch(watch: Watch) -> None:
    """Patch as ``flask_app/patched.py`` does, but go on where psycogreen is missing: it shows."""
    import greenlet

    greenlet.settrace(watch.switched)
    from gevent import monkey

    monkey.patch_all()
    if importlib.util.find_spec("psycopg2") and importlib.util.find_spec("psycogreen"):
        from psycogreen.gevent import patch_psycopg

        patch_psycopg()


def load(spec: str) -> Any:
    """Return the app: ``module:app``, or what ``module:create_app()`` makes."""
    module, _, name = spec.partition(":")
    factory = name.endswith("()")
    found = getattr(importlib.import_module(module), name[:-2] if factory else name or "app")
    return found() if factory else found


def serve(app: Any, watch: Watch, port: int, control: str) -> None:
    """Serve until the end of the process."""
    import gevent
    from gevent.pywsgi import WSGIServer

    watch.hub = gevent.get_hub()
    monitor: Any = watch.hub.start_periodic_monitoring_thread()
    monitor.add_monitoring_function(watch.sample, SAMPLE_EVERY)

    def served(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] != control:
            return app(environ, start_response)
        if environ["QUERY_STRING"] == "start":
            watch.start()
        body = json.dumps(watch.snapshot()).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response("200 OK", headers)
        return [body]

    WSGIServer(("127.0.0.1", port), served, log=None).serve_forever()


def main(asked: str, answered: str) -> None:
    """Serve the app that the request names."""
    request = json.loads(Path(asked).read_text("utf-8"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_OUTPUT, MOST_OUTPUT))
    sys.argv[:] = ["flask-bench"]  # an app that reads arguments finds a program without any
    if importlib.util.find_spec("gevent") is None:
        write({"missing": "gevent"}, answered)
        return
    watch = Watch(request["folder"], request["threshold"], answered)
    try:
        patch(watch)
        count_connects(watch)
        app = load(request["app"])
    except BaseException as error:  # noqa: BLE001 - SystemExit too: it is told, not followed
        text = f"{type(error).__name__}: {error}"
        write({"error": text, "traceback": traceback.format_exc()}, answered)
        os._exit(1)  # threads of the app's must not hold this up
    sys.addaudithook(watch.heard)
    serve(app, watch, request["port"], request["control"])


if __name__ == "__main__":
    # The app is looked for where it will be when it is served, and never beside this file.
    sys.path.pop(0)
    sys.path.insert(0, "")
    main(*sys.argv[1:])
