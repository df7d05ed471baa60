"""What a Flask app is set to; of its key only what does not give it away.

Loaded by look.py in the app's own interpreter, so no later Python than 3.8.
"""

# ruff: noqa: ANN401 - an app's objects may be anything

from __future__ import annotations

import hashlib
from typing import Any

MOST_LAYERS = 20
PUBLIC_KEYS = (
    *("dev", "development", "secret", "secret key", "secret_key", "secretkey", "changeme", "key"),
    *(
        "change me",
        "change-me",
        "change_me",
        "change this",
        "changethis",
        "mysecret",
        "mysecretkey",
    ),
    *("my_secret_key", "your-secret-key", "your_secret_key", "your secret key", "supersecret"),
    *("supersecretkey", "super-secret-key", "super secret key", "super secret", "super-secret"),
    *("super_secret_key", "hard to guess string", "you-will-never-guess", "test", "testing"),
    *("password", "123456", "insecure", "default", "flask", "app", "replace-me", "todo"),
)
"""What tutorials and templates have as a key, and so what is tried first."""
SHORT_KEY = 16
"""Bytes: RFC 2104 asks for keys as long as the hash, 20 of SHA-1, which Flask signs with."""


def flask_app(served: Any) -> dict[str, Any] | None:
    """Return the settings of a Flask app; of its key only a fingerprint."""
    around, app = unwrapped(served)
    if app is None:
        return None
    return {
        "debug": bool(app.debug),
        "testing": bool(app.testing),
        "secret": fingerprint(app.secret_key),
        "signs_sessions": hasattr(app.session_interface, "get_signing_serializer"),
        "middleware": around + unwrapped(app.wsgi_app)[0],
        "limiter_in_memory": limits_in_memory(app),
        "socketio": type(app.extensions.get("socketio")).__name__ == "SocketIO",
    }


def fingerprint(key: Any) -> dict[str, Any] | None:
    """Return what tells a key from another, and whether it is a weak one."""
    if not key:
        return None
    value = key if isinstance(key, bytes) else str(key).encode("utf-8", "replace")
    return {
        "hash": hashlib.sha256(b"flask-bench doctor:" + value).hexdigest()[:16],
        "short": len(value) < SHORT_KEY,
        "public": value.decode("latin-1").strip().lower().rstrip("!") in PUBLIC_KEYS,
    }


def unwrapped(layer: Any) -> tuple[list[str], Any]:
    """Return the names of what is wrapped around an app, the outermost first, and the app."""
    found: list[str] = []
    while layer is not None and len(found) < MOST_LAYERS:
        if "flask" in {base.__module__.partition(".")[0] for base in type(layer).__mro__}:
            return found, layer
        found.append(type(layer).__name__)
        layer = getattr(layer, "app", None) or getattr(layer, "wsgi_app", None)
    return found, None


def limits_in_memory(app: Any) -> bool:
    """Tell whether Flask-Limiter counts in this process only."""
    found = app.extensions.get("limiter") or ()
    limiters = found if isinstance(found, (set, list, tuple)) else (found,)
    storages = [getattr(each, "_storage", None) for each in limiters]
    return any(type(each).__name__ == "MemoryStorage" for each in storages)
