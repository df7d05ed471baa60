"""How each deployment is stopped, reloaded and recycled: by what its server offers itself."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bench.errors import UsageError
from bench.model import Deployment

HOLD = "flask_app/hold.py"
RECYCLED_EACH = 2.5
"""Requests per client until a worker is recycled: early, but not before the load is steady."""


@dataclass(frozen=True)
class Step:
    """A signal to the first process of a role."""

    role: str
    signal: int


@dataclass(frozen=True)
class Way:
    """What brings an event about."""

    text: str
    steps: tuple[Step, ...] = ()
    """Each begins when what the one before was to do is done."""
    held: bool = False
    """hold.py has the listening socket."""
    arguments: tuple[str, ...] = ()
    """For the server's command."""

    def applied_to(self, deployment: Deployment) -> Deployment:
        """Return the deployment as it has to be started for this."""
        command = (*deployment.command, *self.arguments)
        if not self.held:
            return replace(deployment, command=command)
        command = ("{python}", "{flask_app}/hold.py", *command)
        return replace(deployment, command=command, copy=(*deployment.copy, HOLD))


TERM = Step("server", signal.SIGTERM)
HUP = Step("server", signal.SIGHUP)
PLAIN_STOP = Way("SIGTERM", (TERM,))
PLAIN_RELOAD = Way("SIGHUP", (HUP,))
STOP_HELD = Way("SIGTERM to hold.py", (TERM,), held=True)
RELOAD_HELD = Way("SIGHUP to hold.py", (HUP,), held=True)
# nginx first: when it has answered everybody, nobody is left whom the server could lose
STOP_BEHIND_NGINX = Way("SIGQUIT to nginx, then SIGTERM", (Step("nginx", signal.SIGQUIT), TERM))
RELOAD_BEHIND_NGINX = Way("SIGHUP, then to nginx", (HUP, Step("nginx", signal.SIGHUP)))
KILL = Way("SIGKILL to one process")

STOPS: Mapping[str, Way] = {"gevent": PLAIN_STOP, "gunicorn": PLAIN_STOP, "uwsgi": STOP_HELD}
RELOADS: Mapping[str, Way] = {
    "gevent": RELOAD_HELD,
    "gunicorn": PLAIN_RELOAD,
    "uwsgi": PLAIN_RELOAD,
}
"""Server → its way; uWSGI's SIGHUP is a chain reload, by the setting in its configuration."""


def way_of(deployment: Deployment, event: str, concurrency: int, *, plain: bool) -> Way | str:
    """Return how an event is brought about, or why it cannot be.

    Args:
        deployment: one of those that `check` lets pass.
        event: one of `bench.drain.model.EVENTS`.
        concurrency: of the load; how early workers are recycled follows from it.
        plain: no socket is held: only the server's own signals, whatever they lose.

    """
    if event == "kill":
        return KILL
    if event == "recycle":
        return _recycle(deployment, concurrency)
    if deployment.proxy:
        return STOP_BEHIND_NGINX if event == "stop" else RELOAD_BEHIND_NGINX
    way = (STOPS if event == "stop" else RELOADS)[deployment.server]
    if way.held and plain:
        return PLAIN_STOP if event == "stop" else "it cannot reload by itself"
    return way


def suits(deployment: Deployment) -> bool:
    """Whether it is known how this deployment is stopped and reloaded."""
    return (
        deployment.group is None
        and deployment.server in STOPS
        and not deployment.unix_socket
        and not deployment.needs
    )


def check(deployment: Deployment) -> None:
    """Refuse a deployment that nobody would put into production.

    Raises:
        UsageError: it is one.

    """
    if not suits(deployment):
        raise UsageError(
            f"drain knows no way to stop and reload {deployment.name}; it does for the deployments"
            " of gunicorn, uWSGI and gevent.pywsgi, and for nginx in front of them over TCP"
        )


def _recycle(deployment: Deployment, concurrency: int) -> Way | str:
    if not deployment.workers:
        return "it has no workers"
    each = max(10, round(RECYCLED_EACH * concurrency / deployment.workers))
    spread = max(1, each // 4)
    if deployment.server == "gunicorn":
        arguments = {"--max-requests": each, "--max-requests-jitter": spread}
        text = f"max_requests {each}"
    else:
        arguments = {
            "--max-requests": each,
            "--max-requests-delta": spread,
            "--min-worker-lifetime": 0,  # below its 60 s max-requests has no effect
        }
        text = f"max-requests {each}"
    words = tuple(str(word) for pair in arguments.items() for word in pair)
    return Way(text, arguments=words)
