"""The sleepy API that the app waits for. Run ``python slow_api/server.py``.

``/?delay=`` answers after so many seconds (0 to 30; 1), ``/healthz`` at once. It must never be what
limits a measurement, and takes as little as it can of the cores that it shares with what is
measured: several processes, a long listen queue, uvloop, no router, no access log.

Settings, by environment: BIND (127.0.0.1:8800), API_WORKERS (processes; 2 where there are two
cores), BACKLOG (8192; capped by net.core.somaxconn).
"""

import asyncio
import os
import re
import signal
import socket
import sys
import time
from contextlib import suppress

import uvloop
from aiohttp import web

MAX_DELAY = 30.0
DEFAULT_DELAY = 1.0
BODY = b"slept\n"
HEALTHY_BODY = b"healthy\n"
# Longer than the app's pool would leave a connection idle under load: it never meets a closed one.
KEEPALIVE = 120.0
STOP_TIMEOUT = 2.0  # seconds for the answers under way
SHORTEST_SLEEP = 0.001  # seconds; uvloop's timers count whole milliseconds

NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


async def answer(request: web.BaseRequest) -> web.StreamResponse:
    """Answer one request."""
    if request.path == "/healthz":
        return web.Response(body=HEALTHY_BODY, content_type="text/plain")
    if request.path != "/":
        return web.json_response({"error": "there is / and /healthz"}, status=404)
    delay = DEFAULT_DELAY
    if given := request.query.getall("delay", []):
        if len(given) > 1 or not NUMBER.fullmatch(given[0]) or float(given[0]) > MAX_DELAY:
            error = f"delay must be one number from 0 to {MAX_DELAY:g}, as in delay=1"
            return web.json_response({"error": error}, status=400)
        delay = float(given[0])
    until = time.monotonic() + delay
    # again, because uvloop may wake up a millisecond early, and no answer may come too early
    while (left := until - time.monotonic()) > 0:
        await asyncio.sleep(max(left, SHORTEST_SLEEP))
    return web.Response(body=BODY, content_type="text/plain")


def listen(bind: str, backlog: int, count: int) -> list[socket.socket]:
    """Open one listening socket per process, all on the same address.

    The kernel spreads connections over them evenly; of one shared socket, whichever process wakes
    up first takes the whole queue.
    """
    host, _, port = bind.rpartition(":")
    address = (host.strip("[]"), int(port))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sockets: list[socket.socket] = []
    with socket.socket(family) as probe:
        # without SO_REUSEPORT, so that an address in use is an error and not shared
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        address = probe.getsockname()
    for _ in range(count):
        sockets.append(socket.socket(family))
        sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sockets[-1].bind(address)
        sockets[-1].listen(backlog)
    return sockets


async def serve(listener: socket.socket, backlog: int, parent: int) -> None:
    """Serve until SIGTERM, or until the other end of the pipe ``parent`` is gone."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_signal_handler(signal.SIGINT, stopping.set)
    loop.add_reader(parent, stopping.set)
    server = web.Server(answer, access_log=None, keepalive_timeout=KEEPALIVE)
    runner = web.ServerRunner(server, shutdown_timeout=STOP_TIMEOUT)
    await runner.setup()
    await web.SockSite(runner, listener, backlog=backlog).start()
    await stopping.wait()
    loop.remove_reader(parent)
    await runner.cleanup()


def main() -> int:
    """Start the processes, and stop them all as soon as one of them or this one ends."""
    count = int(os.environ.get("API_WORKERS", str(min(2, os.cpu_count() or 1))))
    bind = os.environ.get("BIND", "127.0.0.1:8800")
    backlog = int(os.environ.get("BACKLOG", "8192"))
    listeners = listen(bind, backlog, count)
    # Held open by this process alone: when it ends, however it ends, the others read end of file.
    watched, alive = os.pipe()
    children = []
    for listener in listeners:
        child = os.fork()
        if not child:
            os.close(alive)
            for other in listeners:
                if other is not listener:
                    other.close()
            uvloop.run(serve(listener, backlog, watched))
            return 0
        children.append(child)
    for listener in listeners:
        listener.close()

    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    os.wait()
    asked = stopped
    stop()
    with suppress(ChildProcessError):
        while True:
            os.wait()
    return 0 if asked else 1


if __name__ == "__main__":
    sys.exit(main())
