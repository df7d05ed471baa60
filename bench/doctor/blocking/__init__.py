"""What blocks gevent's loop, or does not scale: found by serving the app and requesting one URL."""

from bench.doctor.blocking.client import NoAnswerError, observe
from bench.doctor.blocking.judge import CHECKS, judge, judge_silence
from bench.doctor.findings import Finding
from bench.errors import UsageError
from bench.own_app.app import OwnApp
from bench.processes.guardian import Guardian

__all__ = ["CHECKS", "probe_url"]

REQUESTS = 12
"""Sent one after the other; some more are sent at once."""
WITHIN = 30.0
"""Seconds for all of them."""


def probe_url(
    app: OwnApp,
    url_path: str,
    *,
    guardian: Guardian,
    requests: int = REQUESTS,
    seconds: float = WITHIN,
) -> tuple[Finding, ...]:
    """Serve an app in its own interpreter, patched for gevent, and report what a URL does to it.

    The URL is requested for real, so whatever it does is done: give one that only reads. The app is
    bound to 127.0.0.1, and ended in any case; nothing is written to its folder but by itself.

    Args:
        app: what is served.
        url_path: path and query, as in ``/orders?limit=5``.
        guardian: ends it if this program is killed.
        requests: how many are sent one after the other.
        seconds: that all requests together may take.

    Raises:
        UsageError: no path, or the app's interpreter has no gevent.
        TrialError: the app cannot be imported or served.

    """
    if not url_path.startswith("/"):
        raise UsageError(f"{url_path!r} is no path: it begins with /, as in /orders?limit=5")
    if not url_path.isascii():
        raise UsageError(f"{url_path!r}: write what is not ASCII as clients send it: ü is %C3%BC")
    try:
        observed = observe(app, url_path, guardian=guardian, requests=requests, seconds=seconds)
    except NoAnswerError as error:
        return judge_silence(url_path, str(error), error.stuck, app.folder)
    return judge(observed, app.folder)
