"""A CONTROL, NOT TO BE COPIED: gevent with psycopg2 left blocking.

It shows what psycogreen is for: here one query at a time per process, and everything else in that
process waits for it. What to copy is ``patched.py``. Run it with
``uwsgi --ini uwsgi_gevent.ini --module blocking:app``.
"""

from gevent import monkey

monkey.patch_all()  # as in patched.py, and then no psycogreen: that is the whole difference

import importlib
import os

_module, _, _name = os.environ.get("FLASK_APP", "app:app").partition(":")
_found = getattr(importlib.import_module(_module), _name.removesuffix("()") or "app")
app = _found() if _name.endswith("()") else _found
