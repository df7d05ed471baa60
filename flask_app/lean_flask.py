"""Flask that does once what it would do for each request, where the outcome is the same.

``from lean_flask import Flask`` instead of ``from flask import Flask``; nothing else changes.

- **The host**: for each request Flask checks the Host header's characters, puts it into lower case
  and IDNA, takes the subdomain off and makes a URL adapter of it. What comes out depends on the
  host, the scheme and the prefix only, and those hardly ever change.
- **The route**: which rule a path without variables leads to depends on path and method only.
- **The response**: one whose body is a single string needs none of the repairs that Werkzeug makes
  to headers and body as it goes out.

Routes are to be there before the first request, as Flask asks for.
"""

from collections.abc import Iterable
from typing import Any

import flask
from flask import Request
from werkzeug.routing import MapAdapter, Rule

MOST_HOSTS = 1000  # clients can make hosts up: when so many are known, all are forgotten
LONGEST_HOST = 300  # characters; a name has 253 at most, and a port 5
DECIDE = ("HTTP_HOST", "wsgi.url_scheme", "SCRIPT_NAME", "SERVER_NAME", "SERVER_PORT")
BODILESS = {204, 304}
REPAIRED = {"location", "content-location"}  # headers that Werkzeug makes URLs of

Routes = dict[tuple[str, str], Rule]
"""Path and method → rule, where the path is the rule itself: no more than the app has rules."""


class Response(flask.Response):
    """A response that goes out as it is where there is nothing to repair."""

    @classmethod
    def force_type(cls, response: Any, environ: Any = None) -> Any:  # noqa: ANN401 - Werkzeug's own
        """Return a response as one of these, but one of an app's own kind as it is."""
        own = isinstance(response, flask.Response) and type(response) is not flask.Response
        return response if own else super().force_type(response, environ)

    def get_wsgi_response(
        self, environ: dict[str, Any]
    ) -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        """Return body, status and headers, as Werkzeug does."""
        body = self.response
        if (
            type(self) is Response
            and type(body) is list
            and len(body) == 1
            and type(body[0]) is bytes
            and self.status_code >= 200  # noqa: PLR2004
            and self.status_code not in BODILESS
            and environ["REQUEST_METHOD"] != "HEAD"
            and not self._on_close
        ):
            headers = self.headers.to_wsgi_list()
            names = {name.lower() for name, _ in headers}
            if "content-length" in names and names.isdisjoint(REPAIRED):
                return body, self.status, headers
        return super().get_wsgi_response(environ)


class _Adapter(MapAdapter):
    """A URL adapter that knows where paths without variables lead."""

    routes: Routes

    def match(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - Werkzeug's own
        if args or options != {"return_rule": True}:  # not for the request itself
            return super().match(*args, **options)
        asked = self.path_info, self.default_method
        rule = self.routes.get(asked)
        if rule is not None:
            return rule, {}
        rule, variables = super().match(return_rule=True)
        # "//" and "get" lead there, too: clients can make such up without end
        if not variables and asked[0] == rule.rule and asked[1] in (rule.methods or ()):
            self.routes[asked] = rule
        return rule, variables


class Flask(flask.Flask):
    """Keeps what it has found out about the hosts and the paths that it has seen."""

    response_class = Response

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Flask's own
        super().__init__(*args, **options)
        self._hosts: dict[tuple[Any, ...], tuple[str, MapAdapter, Routes]] = {}

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return the adapter that Flask would: of the request itself it has path, method, query."""
        config = self.config
        if request is None or "HTTP_UPGRADE" in request.environ or config.get("TRUSTED_HOSTS"):
            return super().create_url_adapter(request)  # seldom, or decided by more than the host
        environ = request.environ
        key = (config["SERVER_NAME"], *map(environ.get, DECIDE))
        known = self._hosts.get(key)
        if known is None:
            adapter = super().create_url_adapter(request)
            if adapter is not None and len(environ.get("HTTP_HOST", "")) <= LONGEST_HOST:
                if len(self._hosts) >= MOST_HOSTS:
                    self._hosts.clear()
                self._hosts[key] = request.host, adapter, {}
            return adapter
        request.host, like, routes = known
        path = environ.get("PATH_INFO")
        adapter = _Adapter(
            self.url_map,
            like.server_name,
            like.script_name,
            like.subdomain,
            like.url_scheme,
            "/" if path is None else path.encode("latin1").decode(errors="replace"),
            environ["REQUEST_METHOD"],
            request.query_string.decode(errors="replace"),
        )
        adapter.routes = routes
        return adapter
