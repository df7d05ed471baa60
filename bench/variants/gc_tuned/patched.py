"""Your app, patched for gevent before anything else is imported.

For ``uwsgi --gevent`` (``uwsgi_gevent.ini``) and ``gunicorn -k gevent patched:app``. Copy it beside
your app and set ``FLASK_APP``: ``module:app`` or ``module:create_app()``; nothing else to change.
"""

from gevent import monkey

monkey.patch_all()  # first: what is imported before keeps the blocking socket (gevent#1016)

import gc
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

if importlib.util.find_spec("psycopg2"):
    # psycopg2 is C, which gevent cannot patch: without this each query blocks the whole process.
    # If psycogreen is missing here, the start fails, which is better than ten times slower.
    from psycogreen.gevent import patch_psycopg

    patch_psycopg()


def whole(answer: Callable[..., Any]) -> Callable[..., Any]:
    """Return an app that answers with bytes, instead of a list, where the body is one part."""

    def bytes_or_parts(environ: object, start_response: object) -> object:
        parts = answer(environ, start_response)
        return (parts[0] or parts) if type(parts) is list and len(parts) == 1 else parts

    return bytes_or_parts


_module, _, _name = os.environ.get("FLASK_APP", "app:app").partition(":")
_found = getattr(importlib.import_module(_module), _name.removesuffix("()") or "app")
app = _found() if _name.endswith("()") else _found

if "uwsgi" in sys.modules:
    # uWSGI goes round gevent's loop for each part of a body, but sends bytes at once.
    app = whole(app)


# What is there now stays: the collector need not look at it again and again. And it looks less
# often at what is new, of which each request in flight holds some hundred objects.
gc.collect()
gc.freeze()
gc.set_threshold(10_000, 50, 100)
