"""Scenario files: what they may say, and what is told where they do not."""

from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.model import MixedRequest, Request
from bench.scenario import RAREST, read_scenario


def read(
    folder: Path, text: str, headers: dict[str, str] | None = None
) -> tuple[MixedRequest, ...]:
    file = folder / "visitors.toml"
    file.write_text(text)
    return read_scenario(file, headers or {})


def test_a_path_is_enough(tmp_path: Path) -> None:
    assert read(tmp_path, '[[request]]\npath = "/"\n') == (MixedRequest("/"),)


def test_everything(tmp_path: Path) -> None:
    text = """
    [[request]]
    path = "/cart?a=b"
    weight = 2.5
    method = "put"
    headers = { X-User = "me" }
    body = "{}"
    expect_status = 201
    expect_body = "done"
    [[request]]
    path = "/now"
    bodies_vary = true
    [[request]]
    path = "/send"
    body = "a=1"
    """
    more = {"X-User": "all", "Authorization": "Bearer x"}
    assert read(tmp_path, text, more) == (
        MixedRequest(
            "/cart?a=b",
            2.5,
            Request("PUT", {"X-User": "me", "Authorization": "Bearer x"}, "{}"),
            201,
            "done",
        ),
        MixedRequest("/now", request=Request("GET", more), bodies_vary=True),
        MixedRequest("/send", request=Request("POST", more, "a=1")),
    )


def test_texts_in_files_beside_it(tmp_path: Path) -> None:
    (tmp_path / "bodies").mkdir()
    (tmp_path / "bodies" / "item.json").write_text('{"item": "ä"}', "utf-8")
    (tmp_path / "right.txt").write_text("done")
    text = '[[request]]\npath = "/"\nbody = "@bodies/item.json"\nexpect_body = '
    for right in ("@right.txt", f"@{tmp_path}/right.txt"):
        (mixed,) = read(tmp_path, f'{text}"{right}"\n')
        assert (mixed.request.body, mixed.body) == ('{"item": "ä"}', "done")
        assert mixed.request.method == "POST"


def test_the_rarest_that_there_may_be(tmp_path: Path) -> None:
    text = '[[request]]\npath = "/"\nweight = {}\n[[request]]\npath = "/a"\n'
    assert len(read(tmp_path, text.format(RAREST - 1))) == 2
    with pytest.raises(UsageError, match=r"request 2: weight: by 1 it is one in 100,001 requests"):
        read(tmp_path, text.format(RAREST))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "request: "),
        ("request = []\n", "request: "),
        ("[[request]]\n", "request 1, path: "),
        ('[[request]]\npath = "/"\nwieght = 2\n', "request 1, wieght: "),
        ('[[request]]\npath = "/"\nweight = 0\n', "request 1, weight: "),
        ('[[request]]\npath = "/"\nweight = 5e-324\n', "request 1, weight: "),
        ('[[request]]\npath = "/"\nweight = nan\n', "request 1, weight: "),
        ('[[request]]\npath = "/"\nweight = inf\n', "request 1, weight: "),
        ('[[request]]\npath = "/"\nexpect_status = 99\n', "request 1, expect_status: "),
        ('[[requests]]\npath = "/"\n', "requests: "),
        ('[[request]\npath = "/"\n', "cannot be read"),
        ('[[request]]\npath = "cart"\n', "has to begin with a slash"),
        ('[[request]]\npath = "/a b"\n', "write a space in it as %20"),
        ('[[request]]\npath = "/ü"\n', "ü is %C3%BC"),
        ('[[request]]\npath = "/"\nmethod = "G T"\n', "request 1: --method"),
        ('[[request]]\npath = "/"\nmethod = ""\n', "request 1: --method"),
        ('[[request]]\npath = "/"\nbody = "@none.json"\n', "request 1: body: /"),
        ('[[request]]\npath = "/"\nexpect_body = "@none"\n', "request 1: expect_body: /"),
        ('[[request]]\npath = "/a#b"\n', "request 1: path is"),
        ('[[request]]\npath = "/"\nheaders = { X = "ü" }\n', "request 1: --header"),
        ('[[request]]\npath = "/"\nmethod = "GET"\nbody = "a"\n', "request 1: --body"),
        ('[[request]]\npath = "/"\nexpect_status = 404\n', "request 1: --expect-status"),
        ('[[request]]\npath = "/"\nheaders = { "a b" = "c" }\n', "request 1: --header"),
        (
            '[[request]]\npath = "/"\nbodies_vary = true\nexpect_body = "a"\n',
            "give one of them",
        ),
    ],
)
def test_what_cannot_be(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        read(tmp_path, text)
    assert said in str(error.value)
    assert "visitors.toml" in str(error.value)
