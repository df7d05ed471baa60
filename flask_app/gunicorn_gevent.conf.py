"""gunicorn with gevent: ``gunicorn -c gunicorn_gevent.conf.py`` in your app's folder.

To change for your app: FLASK_APP, WORKERS (about one per core) and ASYNC_CORES (requests at once,
per worker; more wait in the backlog).
"""

from gevent import monkey

# The first lines, before gunicorn imports anything of the app: with --preload its own patch would
# come too late, and HTTPS calls would end in a RecursionError (gunicorn#2796, gevent#1016).
monkey.patch_all()

import importlib.util
import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent.server
from gevent.lock import DummySemaphore
from gunicorn.workers import ggevent  # type: ignore[import-untyped]

if importlib.util.find_spec("psycopg2"):
    # psycopg2 is C, which gevent cannot patch: without this each query blocks the whole process
    from psycogreen.gevent import patch_psycopg

    patch_psycopg()

wsgi_app = os.environ.get("FLASK_APP", "app:app")
bind = os.environ.get("BIND", "127.0.0.1:8000")
workers = int(os.environ.get("WORKERS", "4"))
worker_class = "gevent"
worker_connections = int(os.environ.get("ASYNC_CORES", "2000"))
backlog = int(os.environ.get("BACKLOG", "4096"))  # capped by net.core.somaxconn


# not ggevent's, which is the one below when this file is read again on SIGHUP
StreamServer: Any = gevent.server.StreamServer


class Server(StreamServer):  # type: ignore[misc]
    """Takes what is queued before it closes: the kernel resets what the last worker leaves."""

    def __init__(self, listener: Any, handle: Any, **settings: Any) -> None:  # noqa: ANN401
        # Each request asks the listener for its name, those accepted last when it is closed.
        name = listener.getsockname()
        named = SimpleNamespace(getsockname=lambda: name)
        super().__init__(listener, partial(handle.func, named), **settings)

    def close(self) -> None:
        """Stop accepting (gunicorn#3397)."""
        if self.started:
            self._stop_event.set()  # an accept that fails closes, too: not again
            # above ASYNC_CORES, too: nobody else will take them
            self.full = lambda: False
            self.pool._semaphore = DummySemaphore()
            self.max_accept = backlog
            self._do_read()
        super().close()


ggevent.StreamServer = Server

# Between a proxy's keepalive_timeout (4 s in nginx/gunicorn.conf) and graceful_timeout: the proxy
# must be the one that closes an idle connection, or a request meets a closed one (gunicorn#2297).
# Not shorter: it also runs while a new connection waits to be read, and when it is over the
# connection is closed without an answer. At 5 s a burst of 4,000 lost a few requests.
keepalive = 30
graceful_timeout = 45  # seconds for the requests in flight on SIGTERM; above the longest one
timeout = 60  # a heartbeat: a worker whose loop is blocked for longer is killed (gunicorn#1955)

http_parser = "python"  # pinned: "auto" changes with what happens to be installed
control_socket_disable = True  # on by default since 25.1, in the home folder, shared by all
if Path("/dev/shm").is_dir():  # noqa: S108
    worker_tmp_dir = "/dev/shm"  # noqa: S108  heartbeats on a disk can block a worker
# No accesslog: a line per request costs. Set accesslog = "-" where nothing in front writes one.
