import pytest

from bench.errors import UsageError
from bench.services.database_url import mask_password, require_encoded
from bench.services.nginx import render
from bench.services.surroundings import base_environment


def test_only_the_named_placeholders_are_filled_in() -> None:
    template = "listen ${BIND}; set $x ${OTHER}; proxy_set_header Host $http_host; $BIND"

    rendered = render(template, {"BIND": "127.0.0.1:80"})

    assert rendered == (
        "listen 127.0.0.1:80; set $x ${OTHER}; proxy_set_header Host $http_host; $BIND"
    )


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://me:secret@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("postgresql://me:se@cr:et@host/db", "postgresql://me:***@host/db"),
        ("postgresql://:secret@host/db", "postgresql://:***@host/db"),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
        ("postgresql://host/db?password=secret&x=1", "postgresql://host/db?password=***&x=1"),
        ("host=h password=secret user=u", "host=h password=*** user=u"),
        ("host=h password = 'se cret' user=u", "host=h password = *** user=u"),
        ("could not connect to host", "could not connect to host"),
    ],
)
def test_passwords_are_masked(text: str, masked: str) -> None:
    assert mask_password(text) == masked


def test_a_password_has_to_be_encoded() -> None:
    require_encoded("postgresql://me:p%40ss@host/db")
    require_encoded("postgresql://host/db")

    with pytest.raises(UsageError, match="%40"):
        require_encoded("postgresql://me:p@ss@host/db")


def test_settings_of_the_user_stay_out_of_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--workers 99")
    monkeypatch.setenv("http_proxy", "http://proxy")
    monkeypatch.setenv("PATH", "/somewhere")

    environment = base_environment()

    assert environment["PATH"] == "/somewhere"
    assert not {"GUNICORN_CMD_ARGS", "http_proxy"} & set(environment)
