"""The lean Flask finds and answers what Flask does, whatever comes in."""

from typing import Any

import flask
import pytest
from flask import request, url_for
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException
from werkzeug.test import EnvironBuilder

import lean_flask

HOSTS = st.sampled_from(
    [
        *(None, "", "shop.example", "SHOP.example:8000", "a.shop.example", "[::1]:80", "x:443"),
        *("b\xfccher", "a b", "shop.example:99999", "evil/../", "example"),
    ]
)
TEXTS = st.text(st.characters(max_codepoint=255), max_size=8)
ENVIRONS = st.fixed_dictionaries(
    {
        "wsgi.url_scheme": st.sampled_from(["http", "https"]),
        "REQUEST_METHOD": st.sampled_from(["GET", "POST", "BREW"]),
        "SCRIPT_NAME": st.sampled_from(["", "/shop", "/caf\xc3\xa9"]),
        "PATH_INFO": st.one_of(st.just("//twice"), TEXTS.map(lambda text: f"/{text}"), TEXTS),
        "QUERY_STRING": TEXTS,
        "SERVER_NAME": st.sampled_from(["127.0.0.1", "::1"]),
        "SERVER_PORT": st.sampled_from(["80", "8000"]),
        "HTTP_HOST": HOSTS,
        "HTTP_CONNECTION": st.sampled_from([None, "upgrade, keep-alive"]),
        "HTTP_UPGRADE": st.sampled_from([None, "websocket"]),
    }
)
SETTINGS: dict[str, dict[str, Any]] = {
    "as usual": {},
    "a server name": {"SERVER_NAME": "shop.example"},
    "trusted hosts": {"TRUSTED_HOSTS": ["shop.example", ".x"]},
}


def app_of(kind: type[flask.Flask], config: dict[str, Any], **options: Any) -> flask.Flask:
    app = kind("shop", **options)
    app.config.update(config)
    return app


def adapter_of(app: flask.Flask, environ: dict[str, Any]) -> object:
    """Return what Flask gets to know of a request, or the error."""
    asked = app.request_class({name: v for name, v in environ.items() if v is not None})
    try:
        adapter = app.create_url_adapter(asked)
    except HTTPException as error:
        return type(error), error.code
    assert adapter is not None
    assert adapter.map is app.url_map
    seen = {name: value for name, value in vars(adapter).items() if name not in {"map", "routes"}}
    return {**seen, "host": asked.host, "trusted": asked.trusted_hosts}


@pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize(
    "options", [{}, {"subdomain_matching": True}, {"host_matching": True}], ids=str
)
@given(environs=st.lists(ENVIRONS, min_size=1, max_size=4))
@pytest.mark.filterwarnings("ignore:Current server name")
def test_it_is_what_flask_makes(
    config: dict[str, Any], options: dict[str, bool], environs: list[dict[str, Any]]
) -> None:
    if options.get("host_matching"):
        options = {**options, "static_folder": None}  # type: ignore[dict-item]
    plain, caching = (app_of(kind, config, **options) for kind in (flask.Flask, lean_flask.Flask))
    for environ in (*environs, *environs):
        assert adapter_of(caching, environ) == adapter_of(plain, environ)


def test_a_host_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    original = flask.Flask.create_url_adapter

    def noted(app: flask.Flask, asked: flask.Request | None) -> object:
        made.append("" if asked is None else asked.environ["HTTP_HOST"])
        return original(app, asked)

    monkeypatch.setattr(flask.Flask, "create_url_adapter", noted)
    client = app_of(lean_flask.Flask, {}).test_client()
    for host in ("a", "b", "a", "a", "b"):
        client.get("/", headers={"Host": host})
    assert [host for host in made if host] == ["a", "b"]


def test_made_up_hosts_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean_flask, "MOST_HOSTS", 10)
    app = lean_flask.Flask("shop")
    client = app.test_client()
    for number in range(35):
        client.get("/", headers={"Host": f"h{number}"})
        assert len(app._hosts) <= 10
    app._hosts.clear()
    client.get("/", headers={"Host": "h" * 10_000})
    assert not app._hosts


def test_an_app_sees_each_request_as_it_is() -> None:
    app = lean_flask.Flask("shop")

    @app.route("/orders/<int:number>", methods=["GET", "POST"])
    def orders(number: int) -> dict[str, Any]:
        return {
            "number": number,
            "host": request.host,
            "here": url_for("orders", number=number, _external=True),
            "query": request.args.get("q"),
            "method": request.method,
        }

    client = app.test_client()
    for number, host in ((1, "a"), (2, "b"), (3, "a")):
        answer = client.post(f"/orders/{number}?q=%C3%BC{number}", headers={"Host": host})
        assert answer.get_json() == {
            "number": number,
            "host": host,
            "here": f"http://{host}/orders/{number}",
            "query": f"ü{number}",
            "method": "POST",
        }
    redirected = client.get("/orders/4/?q=1", headers={"Host": "a"})
    assert redirected.status_code == 404


def test_a_redirect_keeps_its_own_query() -> None:
    app = lean_flask.Flask("shop")
    app.add_url_rule("/orders/", view_func=lambda: "ok")
    client = app.test_client()
    for query in ("a=1", "b=%C3%BC"):
        answer = client.get(f"/orders?{query}", headers={"Host": "shop"})
        assert answer.headers["Location"] == f"http://shop/orders/?{query}"


def test_what_is_changed_later_counts() -> None:
    app = lean_flask.Flask("shop", subdomain_matching=True)
    app.add_url_rule("/", "own", view_func=lambda: "own", subdomain="a")
    client = app.test_client()
    app.config["SERVER_NAME"] = "shop"
    assert client.get("/", headers={"Host": "a.shop"}).text == "own"
    app.config["SERVER_NAME"] = "a.shop"
    assert client.get("/", headers={"Host": "a.shop"}).status_code == 404
    app.config["TRUSTED_HOSTS"] = ["elsewhere"]
    assert client.get("/", headers={"Host": "a.shop"}).status_code == 400


# ---- routes and responses --------------------------------------------------------------------


def _without_length() -> flask.Response:
    response = flask.make_response("text")
    del response.headers["Content-Length"]
    return response


def _with_cookie() -> flask.Response:
    response = flask.make_response("text")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


BODIES: dict[str, Any] = {
    "text": lambda: "text",
    "nothing": lambda: "",
    "headers": lambda: ("text", 201, {"X-One": ["1", "2"], "Content-Type": "text/plain"}),
    "length": lambda: ("text", {"Content-Length": "2"}),
    "json": lambda: {"a": 1},
    "no content": lambda: ("", 204),
    "not modified": lambda: ("text", 304, {"Content-Language": "de"}),
    "moved": lambda: flask.redirect("/caf\xe9"),
    "elsewhere": lambda: ("text", {"Content-Location": "/caf\xe9"}),
    "error": lambda: flask.abort(418),
    "parts": lambda: iter(["a", "b"]),
    "strings": lambda: flask.Response(["a", "b"]),
    "one string": lambda: flask.Response(["a"]),
    "tuple": lambda: flask.Response((b"a",)),
    "no length": _without_length,
    "flask's own": lambda: flask.Response("a", mimetype="text/plain"),
    "cookie": _with_cookie,
}


def answers_of(kind: type[flask.Flask], asked: list[tuple[str, str, str]]) -> list[object]:
    """Send the requests to an app with all kinds of routes, and return all that came back."""
    app = kind("shop", subdomain_matching=True)
    app.config["SERVER_NAME"] = "shop"

    def told(**variables: object) -> str:
        return f"{request.endpoint} {variables} {request.url_rule} {request.view_args}"

    for number, (rule, options) in enumerate(ROUTES):
        app.add_url_rule(rule, f"route {number}", told, **options)
    client = app.test_client()
    seen: list[object] = []
    for method, host, path in asked:
        answer = client.open(path, method=method, headers={"Host": host})
        seen.append((answer.status, sorted(answer.headers), answer.data))
    return seen


ROUTES: list[tuple[str, dict[str, Any]]] = [
    ("/", {}),
    ("/", {"methods": ["POST"]}),
    ("/", {"subdomain": "a"}),
    ("/orders/", {}),
    ("/orders/<int:number>", {}),
    ("/orders/1", {"methods": ["PUT"]}),
    ("/first", {"defaults": {"page": 1}}),
    ("/page/<int:page>", {}),
    ("/old", {"redirect_to": "/first"}),
    ("/<path:rest>", {"subdomain": "<sub>"}),
    ("/<name>.txt", {}),
]
REQUESTS = st.tuples(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS", "BREW"]),
    st.sampled_from(["shop", "a.shop", "b.shop", "elsewhere"]),
    st.sampled_from(
        [
            *("/", "/orders", "/orders/", "/orders/1", "/orders//1", "/first", "/page/1"),
            *("/page/2", "/old", "/x.txt", "/x", "/caf\xe9", "//"),
        ]
    ),
)


@given(asked=st.lists(REQUESTS, min_size=1, max_size=6))
@pytest.mark.filterwarnings("ignore:Current server name")
def test_each_request_goes_where_flask_would_send_it(asked: list[tuple[str, str, str]]) -> None:
    twice = [*asked, *asked]
    assert answers_of(lean_flask.Flask, twice) == answers_of(flask.Flask, twice)


def test_what_clients_make_up_is_not_remembered() -> None:
    app = lean_flask.Flask("shop")
    app.add_url_rule("/orders/<int:number>", "order", lambda number: f"{number}")
    app.add_url_rule("/", "start", lambda: "ok")
    client = app.test_client()
    for number in range(20):
        assert client.get(f"/orders/{number}").text == f"{number}"
        assert client.get(f"/nowhere/{number}").status_code == 404
        assert client.get("/").text == "ok"
        slashes = {"PATH_INFO": "/" * (number + 1), "REQUEST_METHOD": "get"}
        assert client.get("/", environ_overrides=slashes).text == "ok"
    ((_, _, routes),) = app._hosts.values()
    assert list(routes) == [("/", "GET")]


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_response_goes_out_as_from_flask(name: str, method: str) -> None:
    seen = []
    for kind in (flask.Flask, lean_flask.Flask):
        app = kind("shop")
        app.add_url_rule("/", view_func=BODIES[name])
        started: list[tuple[str, list[tuple[str, str]]]] = []
        environ = EnvironBuilder("/", method=method).get_environ()
        parts = app(environ, lambda status, headers, to=started: to.append((status, headers)))
        seen.append((started, b"".join(parts)))
    assert seen[0] == seen[1]


class Own(flask.Response):
    """An app's own kind of response."""

    def get_wsgi_headers(self, environ: Any) -> Any:
        headers = super().get_wsgi_headers(environ)
        headers["X-Own"] = "1"
        return headers


class LeanOwn(lean_flask.Response):
    """The same, made of the lean one."""

    def get_wsgi_headers(self, environ: Any) -> Any:
        headers = super().get_wsgi_headers(environ)
        headers["X-Own"] = "1"
        return headers


def test_an_apps_own_responses_stay_what_they_are() -> None:
    app = lean_flask.Flask("shop")
    seen: list[object] = []
    app.after_request(lambda response: seen.append(type(response)) or response)  # type: ignore[func-returns-value]
    app.add_url_rule("/own", "own", lambda: Own("text"))
    app.add_url_rule("/lean", "lean", lambda: LeanOwn("text"))
    client = app.test_client()
    assert client.get("/own").headers["X-Own"] == "1"
    app.response_class = LeanOwn
    assert client.get("/lean").headers["X-Own"] == "1"
    assert seen == [Own, LeanOwn]


def test_what_is_to_be_called_at_the_end_is() -> None:
    app = lean_flask.Flask("shop")
    closed = []

    @app.get("/")
    def view() -> flask.Response:
        response = flask.make_response("text")
        response.call_on_close(lambda: closed.append("now"))
        return response

    answer = app.test_client().get("/", buffered=True)
    assert (answer.text, closed) == ("text", ["now"])
