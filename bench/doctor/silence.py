"""Findings that the user leaves as they are: each with a reason, by option or beside the line.

In the source: ``# doctor: ignore[check-id] reason`` on the line of the evidence, or alone on the
line above it; in files whose comments begin so, with ``;``.
"""

import io
import re
import tokenize
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from bench.doctor.findings import Finding
from bench.errors import UsageError

COMMENT = re.compile(r"[#;]\s*doctor:\s*ignore\b\s*(?P<rest>.*)")
REST = re.compile(r"\[(?P<checks>[^\]]*)\]\s*(?P<reason>.*)")


@dataclass(frozen=True)
class Ignored:
    """One check on one line."""

    check: str
    file: str
    line: int
    reason: str


def from_options(values: Iterable[str], known: Collection[str]) -> Mapping[str, str]:
    """Return check → reason of ``CHECK=REASON``.

    Raises:
        UsageError: no reason is given, or no check has this id.

    """
    found = {}
    for value in values:
        check, _, reason = (part.strip() for part in value.partition("="))
        _require_known(check, known, "--ignore")
        if not reason:
            raise UsageError(f"--ignore {check}: a reason is needed, as in --ignore {check}='…'")
        found[check] = reason
    return found


def comments_of(file: Path, known: Collection[str]) -> tuple[Ignored, ...]:
    """Return what the comments of a file silence.

    Raises:
        UsageError: a comment lacks the check or the reason, or no check has this id.

    """
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ()
    if "doctor:" not in text:
        return ()
    found: list[Ignored] = []
    for line, comment, alone in _comments(file, text):
        match = COMMENT.search(comment)
        if match:
            where = f"{file}:{line}"
            parts = REST.fullmatch(match["rest"].strip())
            if parts is None:
                raise UsageError(f"{where}: say which check: # doctor: ignore[check-id] reason")
            for check in map(str.strip, parts["checks"].split(",")):
                _require_known(check, known, where)
                if not parts["reason"]:
                    raise UsageError(
                        f"{where}: a reason is needed: # doctor: ignore[{check}] reason"
                    )
                found.append(Ignored(check, str(file), line + alone, parts["reason"]))
    return tuple(found)


def silenced(
    findings: Sequence[Finding], by_option: Mapping[str, str], comments: Iterable[Ignored]
) -> tuple[Finding, ...]:
    """Return the findings, with the reason where there is one."""
    by_line = {(each.check, each.file, each.line): each.reason for each in comments}

    def reason(finding: Finding) -> str | None:
        check = finding.check.id
        beside = (by_line.get((check, e.file or "", e.line or 0)) for e in finding.evidence)
        return next(filter(None, beside), by_option.get(check))

    return tuple(replace(each, silenced=each.silenced or reason(each)) for each in findings)


def _comments(file: Path, text: str) -> Iterator[tuple[int, str, bool]]:
    """Yield the line, the comment, and whether it is alone on its line."""
    if file.suffix != ".py":
        for number, line in enumerate(text.splitlines(), start=1):
            found = COMMENT.search(line)
            if found:
                yield number, found[0], not line[: found.start()].strip()
        return
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                row, column = token.start
                yield row, token.string, not token.line[:column].strip()
    except (tokenize.TokenError, SyntaxError):
        return


def _require_known(check: str, known: Collection[str], where: str) -> None:
    if check in known:
        return
    near = get_close_matches(check, known, n=3, cutoff=0.4)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise UsageError(f"{where}: no check is called {check!r}.{hint} docs/doctor.md lists them all")
