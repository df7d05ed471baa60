"""gevent's own server: one process, a greenlet per request. Run ``python pywsgi.py``.

Settings, by environment: BIND (``host:port``, or ``fd://3`` for an open socket, as systemd and
hold.py hand it on), BACKLOG, ASYNC_CORES (requests at once; more wait in the backlog), FLASK_APP
(``module:app`` or ``module:create_app()``, looked for in the current folder first).
"""

from gevent import monkey

monkey.patch_all()  # first: what is imported before keeps the blocking socket (gevent#1016)

import importlib
import importlib.util
import os
import signal
import socket
import sys
from typing import Any

import gevent
from gevent.lock import DummySemaphore
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer

if importlib.util.find_spec("psycopg2"):
    # psycopg2 is C, which gevent cannot patch: without this each query blocks the whole process
    from psycogreen.gevent import patch_psycopg

    patch_psycopg()

# Seconds that a connection may be silent; pywsgi has no limit, so idle clients would hold slots for
# ever. Not much shorter: in a burst a new connection waits a while until it is read.
KEEPALIVE = 30
STOP_TIMEOUT = 45  # seconds for the requests in flight; above the longest one
BACKLOG = int(os.environ.get("BACKLOG", "4096"))  # capped by net.core.somaxconn


class Handler(WSGIHandler):
    """Ends idle connections, and kept-alive ones once the server is stopping."""

    def read_requestline(self) -> str:
        """Read the first line of a request, or nothing if the client stays silent."""
        return gevent.with_timeout(KEEPALIVE, super().read_requestline, timeout_value="")

    def read_request(self, raw_requestline: str) -> Any:  # noqa: ANN401 - gevent's own
        """Read the headers; a client that stays silent among them gets a 400."""
        read = super().read_request
        return gevent.with_timeout(KEEPALIVE, read, raw_requestline, timeout_value=False)

    def finalize_headers(self) -> None:
        """Complete the headers; of a stopping server this is the connection's last response."""
        super().finalize_headers()
        if self.server.closed and not self.close_connection:
            self.close_connection = True
            closing = (b"Connection", b"close")
            self.response_headers.append(closing)  # type: ignore[union-attr, arg-type]


class Server(WSGIServer):
    """Takes what is queued before it closes the listener: the kernel would reset it."""

    def close(self) -> None:
        """Stop accepting."""
        if self.started:
            # an accept that fails closes, too: not again
            self._stop_event.set()  # type: ignore[attr-defined]
            # above ASYNC_CORES, too: nobody else will take them
            self.full = lambda: False  # type: ignore[method-assign]
            self.pool._semaphore = DummySemaphore()  # type: ignore[union-attr]
            self.max_accept = BACKLOG
            self._do_read()  # type: ignore[attr-defined]
        super().close()


def main() -> None:
    """Serve until SIGTERM or Ctrl-C, then finish the requests in flight."""
    sys.path.insert(0, "")  # the app's folder, wherever this file is
    module, _, name = os.environ.get("FLASK_APP", "app:app").partition(":")
    found = getattr(importlib.import_module(module), name.removesuffix("()") or "app")
    host, _, port = os.environ.get("BIND", "127.0.0.1:8000").rpartition(":")
    held = host == "fd"
    server = Server(
        socket.socket(fileno=int(port.strip("/"))) if held else (host.strip("[]"), int(port)),
        found() if name.endswith("()") else found,
        backlog=None if held else BACKLOG,
        spawn=Pool(int(os.environ.get("ASYNC_CORES", "2000"))),
        handler_class=Handler,
        log=None,  # no line per request; errors still go to stderr
    )
    # close() and not stop(): serve_forever() does the stopping, with the timeout given there
    gevent.signal_handler(signal.SIGTERM, server.close)
    gevent.signal_handler(signal.SIGINT, server.close)
    server.serve_forever(stop_timeout=STOP_TIMEOUT)


if __name__ == "__main__":
    main()
