"""The app with a known extra CPU cost per request: what calibration has to find.

``FLASK_APP=bench.handicap:app`` instead of the app itself, under any of the servers. Settings, by
environment:

=============== ======= ==================================================================
HANDICAPPED_APP app:app the app that is slowed down, as ``FLASK_APP`` would name it
HANDICAP        0       rounds of a loop that each request computes before the app has it
=============== ======= ==================================================================

Rounds and not seconds: an app that got slower has more to compute, whose time then depends on the
machine as the rest of the request does. Without a handicap the same wrapper does no rounds.
"""

import importlib
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Handicap:
    """WSGI middleware that computes before it hands each request on."""

    def __init__(self, app: "WSGIApplication", rounds: int) -> None:
        self._app = app
        self._rounds = rounds

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Compute, then answer as the app does."""
        for _ in range(self._rounds):
            pass
        return self._app(environ, start_response)


def handicapped(name: str, rounds: int) -> "WSGIApplication":
    """Return the app of this name, ``module:app`` or ``module:create_app()``, slowed down.

    A Flask app stays one, because ``flask run`` takes nothing else.
    """
    module, _, attribute = name.partition(":")
    found = getattr(importlib.import_module(module), attribute.removesuffix("()") or "app")
    app = found() if attribute.endswith("()") else found
    if hasattr(app, "wsgi_app"):
        app.wsgi_app = Handicap(app.wsgi_app, rounds)
        return cast("WSGIApplication", app)
    return Handicap(app, rounds)


def __getattr__(name: str) -> "WSGIApplication":
    """Load the app when a server asks for it, and not when a test imports this."""
    if name != "app":
        raise AttributeError(name)
    rounds = int(os.environ.get("HANDICAP", "0"))
    app = handicapped(os.environ.get("HANDICAPPED_APP", "app:app"), rounds)
    globals()["app"] = app
    return app
