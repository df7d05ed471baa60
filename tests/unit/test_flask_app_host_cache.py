"""The remembered URL adapter is the one that Flask makes, whatever comes in."""

from typing import Any

import flask
import pytest
from flask import request, url_for
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException

import host_cache

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
    return {**vars(adapter), "map": None, "host": asked.host, "trusted": asked.trusted_hosts}


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
    plain, caching = (app_of(kind, config, **options) for kind in (flask.Flask, host_cache.Flask))
    for environ in (*environs, *environs):
        assert adapter_of(caching, environ) == adapter_of(plain, environ)


def test_a_host_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    original = flask.Flask.create_url_adapter

    def noted(app: flask.Flask, asked: flask.Request | None) -> object:
        made.append("" if asked is None else asked.environ["HTTP_HOST"])
        return original(app, asked)

    monkeypatch.setattr(flask.Flask, "create_url_adapter", noted)
    client = app_of(host_cache.Flask, {}).test_client()
    for host in ("a", "b", "a", "a", "b"):
        client.get("/", headers={"Host": host})
    assert [host for host in made if host] == ["a", "b"]


def test_made_up_hosts_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_cache, "MOST_HOSTS", 10)
    app = host_cache.Flask("shop")
    client = app.test_client()
    for number in range(35):
        client.get("/", headers={"Host": f"h{number}"})
        assert len(app._hosts) <= 10
    app._hosts.clear()
    client.get("/", headers={"Host": "h" * 10_000})
    assert not app._hosts


def test_an_app_sees_each_request_as_it_is() -> None:
    app = host_cache.Flask("shop")

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
    app = host_cache.Flask("shop")
    app.add_url_rule("/orders/", view_func=lambda: "ok")
    client = app.test_client()
    for query in ("a=1", "b=%C3%BC"):
        answer = client.get(f"/orders?{query}", headers={"Host": "shop"})
        assert answer.headers["Location"] == f"http://shop/orders/?{query}"


def test_what_is_changed_later_counts() -> None:
    app = host_cache.Flask("shop", subdomain_matching=True)
    app.add_url_rule("/", "own", view_func=lambda: "own", subdomain="a")
    client = app.test_client()
    app.config["SERVER_NAME"] = "shop"
    assert client.get("/", headers={"Host": "a.shop"}).text == "own"
    app.config["SERVER_NAME"] = "a.shop"
    assert client.get("/", headers={"Host": "a.shop"}).status_code == 404
    app.config["TRUSTED_HOSTS"] = ["elsewhere"]
    assert client.get("/", headers={"Host": "a.shop"}).status_code == 400
