"""As ``flask_app/patched.py``; a body that is whole is handed to uWSGI as bytes.

For ``uwsgi --gevent`` (``uwsgi_gevent.ini``) and ``gunicorn -k gevent patched:app``. Copy it beside
your app and set ``FLASK_APP``: ``module:app`` or ``module:create_app()``; nothing else to change.
"""

from gevent import monkey

monkey.patch_all()  # first: what is imported before keeps the blocking socket (gevent#1016)

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

if importlib.util.find_spec("psycopg2"):
    # psycopg2 is C, which gevent cannot patch: without this each query blocks the whole process.
    # If psycogreen is missing here, the start fails, which is better than ten times slower.
    from psycogreen.gevent import patch_psycopg

    patch_psycopg()

LARGEST = 64 * 1024
App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Rest:
    """A body of which the first part has been taken already."""

    def __init__(self, first: bytes, rest: Iterator[bytes], parts: Iterable[bytes]) -> None:
        self._first: bytes | None = first
        self._rest = rest
        self.close = getattr(parts, "close", lambda: None)

    def __iter__(self) -> Iterator[bytes]:
        """Return itself."""
        return self

    def __next__(self) -> bytes:
        """Return the next part."""
        if self._first is None:
            return next(self._rest)
        first, self._first = self._first, None
        return first


def whole_bodies(app: App) -> App:
    """Return the app, its bodies as bytes where their first part is as long as they are to be.

    WSGI asks for an iterable, and uWSGI with gevent goes round its loop once per part and once more
    at the end; bytes it sends at once (unless ``wsgi-strict`` is set). For uWSGI only.
    """

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        length = -1

        def start(status: str, headers: list[tuple[str, str]], *error: object) -> object:
            nonlocal length
            for name, value in headers:
                if name.lower() == "content-length":
                    length = int(value)
            return start_response(status, headers, *error)

        parts = app(environ, start)
        # a file goes out by sendfile()
        if not 0 < length <= LARGEST or hasattr(parts, "read"):
            return parts
        rest = iter(parts)
        first = next(rest, b"")
        if len(first) != length:
            return Rest(first, rest, parts)
        getattr(parts, "close", lambda: None)()
        return first  # type: ignore[return-value]

    return answer


_module, _, _name = os.environ.get("FLASK_APP", "app:app").partition(":")
_found = getattr(importlib.import_module(_module), _name.removesuffix("()") or "app")
app = whole_bodies(_found() if _name.endswith("()") else _found)
