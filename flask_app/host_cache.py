"""Flask that works out once what a request's host means, and not for every request anew.

``from host_cache import Flask`` instead of ``from flask import Flask``; nothing else changes.

For each request Flask checks the Host header's characters, puts it into lower case and IDNA, takes
the subdomain off and makes a URL adapter of it: a fifth of all that it does around a handler. What
comes out depends on the host, the scheme and the prefix only, and those hardly ever change.
"""

from typing import Any

import flask
from flask import Request
from werkzeug.routing import MapAdapter

MOST_HOSTS = 1000  # clients can make hosts up: when so many are known, all are forgotten
LONGEST_HOST = 300  # characters; a name has 253 at most, and a port 5
DECIDE = ("HTTP_HOST", "wsgi.url_scheme", "SCRIPT_NAME", "SERVER_NAME", "SERVER_PORT")


class Flask(flask.Flask):
    """Keeps the URL adapters of the hosts that it has seen."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Flask's own
        super().__init__(*args, **options)
        self._hosts: dict[tuple[Any, ...], tuple[str, MapAdapter]] = {}

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return the adapter that Flask would: of the request itself it has path, method, query."""
        config = self.config
        if request is None or "HTTP_UPGRADE" in request.environ or config["TRUSTED_HOSTS"]:
            return super().create_url_adapter(request)  # seldom, or decided by more than the host
        environ = request.environ
        key = (config["SERVER_NAME"], *map(environ.get, DECIDE))
        known = self._hosts.get(key)
        if known is None:
            adapter = super().create_url_adapter(request)
            if adapter is not None and len(environ.get("HTTP_HOST", "")) <= LONGEST_HOST:
                if len(self._hosts) >= MOST_HOSTS:
                    self._hosts.clear()
                self._hosts[key] = request.host, adapter
            return adapter
        request.host, like = known
        path = environ.get("PATH_INFO")
        return MapAdapter(
            self.url_map,
            like.server_name,
            like.script_name,
            like.subdomain,
            like.url_scheme,
            "/" if path is None else path.encode("latin1").decode(errors="replace"),
            environ["REQUEST_METHOD"],
            request.query_string.decode(errors="replace"),
        )
