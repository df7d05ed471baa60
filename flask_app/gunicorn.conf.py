"""gunicorn with threads: ``gunicorn -c gunicorn.conf.py`` in your app's folder.

To change for your app: FLASK_APP, WORKERS (about one per core) and THREADS (requests that wait for
others at the same time, per worker). workers x threads is all that it serves at once.
"""

import os
from pathlib import Path

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

wsgi_app = os.environ.get("FLASK_APP", "app:app")
bind = os.environ.get("BIND", "127.0.0.1:8000")
workers = int(os.environ.get("WORKERS", "4"))
threads = int(os.environ.get("THREADS", "50"))
backlog = int(os.environ.get("BACKLOG", "4096"))  # capped by net.core.somaxconn


class Worker(ThreadWorker):  # type: ignore[misc]
    """A gthread worker that, when it stops, takes what is queued and closes its listener.

    By itself it leaves the listener open until it ends, and the kernel resets all who have
    connected in the meantime (gunicorn#3397, gunicorn#922).
    """

    def set_accept_enabled(self, enabled: bool) -> None:
        """Begin or end to accept; the latter also when there are too many connections."""
        super().set_accept_enabled(enabled)
        if not (enabled or self.alive):
            for listener in self.sockets:
                before = -1
                while before < self.nr_conns:
                    before = self.nr_conns
                    self.accept(listener)
                listener.close()


worker_class = Worker

# Between a proxy's keepalive_timeout (4 s in nginx/gunicorn.conf) and graceful_timeout: the proxy
# must be the one that closes an idle connection, or a request meets a closed one (gunicorn#2297).
keepalive = 5
graceful_timeout = 45  # seconds for the requests in flight on SIGTERM; above the longest one
timeout = 60  # a heartbeat of the worker, no limit for a request (gunicorn#1955)

http_parser = "python"  # pinned: "auto" changes with what happens to be installed
control_socket_disable = True  # on by default since 25.1, in the home folder, shared by all
if Path("/dev/shm").is_dir():  # noqa: S108
    worker_tmp_dir = "/dev/shm"  # noqa: S108  heartbeats on a disk can block a worker
# No accesslog: a line per request costs. Set accesslog = "-" where nothing in front writes one.
# No preload_app: each worker imports the app itself, so nothing is shared across the fork.
