"""nginx's configuration files, as a tree of directives.

A tokenizer of its own: crossplane, the one library for it, has had no release since 2022, and takes
``${BIND} backlog=…`` of the image's templates for one word.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bench.doctor.configuration.formats.text import TextFile
from bench.doctor.configuration.model import Directive
from bench.errors import UsageError

TOKEN = re.compile(
    r"""
    (?P<blank>\s+|\#[^\n]*)
  | (?P<mark>[{};])
  | "(?P<double>(?:\\.|[^"\\])*)"
  | '(?P<single>(?:\\.|[^'\\])*)'
  | (?P<word>(?:\$\{[^}\s]*\}|\\.|[^\s{};"'\\])(?:\$\{[^}\s]*\}|\\.|[^\s{};\\])*)
    """,
    re.VERBOSE | re.DOTALL,
)
DIRECTIVES = re.compile(
    r"^\s*(?:upstream|server|location|http|events|proxy_pass|uwsgi_pass)\b", re.MULTILINE
)


@dataclass(frozen=True)
class _Token:
    text: str
    line: int
    is_mark: bool = False


def looks_like_nginx(text: str) -> bool:
    """Say whether a file has directives that only nginx has."""
    return "{" in text and DIRECTIVES.search(text) is not None


def read_nginx(file: TextFile) -> Directive:
    """Return the file as a directive without a name, with all others in its block.

    Raises:
        UsageError: its braces do not match, or a quote is open.

    """
    tokens = _tokens(file)
    block = tuple(_directives(file, tokens, depth=0))
    return Directive("", (), file.at(1), block)


def _tokens(file: TextFile) -> Iterator[_Token]:
    position, line = 0, 1
    while position < len(file.text):
        match = TOKEN.match(file.text, position)
        if match is None:
            raise UsageError(f"{file.shown}:{line}: this is not nginx's syntax: is a quote open?")
        kind = match.lastgroup
        if kind != "blank":
            yield _Token(match[kind or 0], line, is_mark=kind == "mark")
        line += match[0].count("\n")
        position = match.end()


def _directives(file: TextFile, tokens: Iterator[_Token], depth: int) -> Iterator[Directive]:
    words: list[_Token] = []
    for token in tokens:
        if not token.is_mark:
            words.append(token)
        elif token.text == "}":
            if depth == 0 or words:
                raise UsageError(f"{file.shown}:{token.line}: a brace or a semicolon is missing")
            return
        else:
            block = tuple(_directives(file, tokens, depth + 1)) if token.text == "{" else ()
            if words:
                name, *arguments = (word.text for word in words)
                yield Directive(name, tuple(arguments), file.at(words[0].line), block)
            words = []
    if depth or words:
        raise UsageError(f"{file.shown}: it ends where a brace or a semicolon is missing")
