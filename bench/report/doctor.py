"""The doctor's findings: for the terminal, as JSON, and as SARIF 2.1.0 for code scanning."""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from bench.doctor.diagnosis import Diagnosis
from bench.doctor.findings import Check, Evidence, Finding
from bench.report.markup import escaped, line, rule

SCHEMA_VERSION = 1
"""1: the first."""
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
SARIF_VERSION = "2.1.0"
STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}
MOST_PLACES = 10
"""Places of one check that the terminal shows; JSON and SARIF have them all."""
INDENT = 4


def report(diagnosis: Diagnosis, root: Path) -> Iterator[RenderableType]:
    """Yield what to print; files are named from ``root`` on."""
    yield Text(f"looked at {diagnosis.looked_at}", style="bold")
    told = [each for each in diagnosis.findings if not each.silenced]
    for check, group in groupby(told, key=lambda each: each.check):
        yield ""
        yield from _of_check(check, list(group), root)
    if diagnosis.silenced:
        yield ""
        yield Text("silenced:", style="dim")
    for finding in diagnosis.silenced:
        place = _place(finding.evidence[0], root)
        line = f"{finding.check.id}: {place}{finding.message}: {finding.silenced}"
        yield _indented(Text(line, style="dim"))
    for text in diagnosis.unseen:
        yield Text(f"could not look at {text}", style="yellow")
    yield ""
    yield Text(summary(diagnosis), style="bold")


def summary(diagnosis: Diagnosis) -> str:
    """Return the numbers, in one line."""
    parts = [
        f"{count} {severity}{'' if count == 1 else 's'}"
        for severity in ("error", "warning", "note")
        if (count := len(diagnosis.of(severity)))
    ]
    found = ", ".join(parts) or "nothing found"
    quiet = len(diagnosis.silenced)
    return f"{found}; {quiet} silenced" if quiet else found


def _of_check(check: Check, findings: Sequence[Finding], root: Path) -> Iterator[RenderableType]:
    yield Text.assemble(
        (check.severity, STYLES[check.severity]), f"  {check.title}  ", (f"[{check.id}]", "dim")
    )
    for finding in findings[:MOST_PLACES]:
        yield _indented(Text(f"{_place(finding.evidence[0], root)}{finding.message}"))
        for number, evidence in enumerate(finding.evidence):
            beside = _place(evidence, root) if number else ""
            yield _indented(Text(f"{beside}{evidence.text}", style="dim"), times=2)
    if len(findings) > MOST_PLACES:
        more = f"and {len(findings) - MOST_PLACES} more: --json has them all"
        yield _indented(Text(more, style="dim"))
    yield _indented(Text.assemble(("why: ", "bold"), f"{check.why} ({check.source})"))
    for fix in dict.fromkeys(finding.fix for finding in findings):
        yield _indented(Text.assemble(("fix: ", "bold"), fix))


def _indented(text: Text, times: int = 1) -> RenderableType:
    return Padding(text, (0, 0, 0, INDENT * times), expand=False)


def _place(evidence: Evidence, root: Path) -> str:
    if evidence.file is None:
        return ""
    line = "" if evidence.line is None else f":{evidence.line}"
    return f"{shown(evidence.file, root)}{line}: "


def shown(file: str, root: Path) -> str:
    """Return a file's path from ``root`` on, the whole of it if it is elsewhere."""
    path = Path(file)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def table_of_checks(checks: Sequence[Check]) -> str:
    """Return every check as a row of Markdown."""
    lines = [line(("check", "kind", "what is found", "known from")), rule((False,) * 4)]
    for check in checks:
        cells = map(escaped, (check.severity, check.title, check.source))
        lines.append(f"| `{check.id}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def as_json(diagnosis: Diagnosis, root: Path) -> str:
    """Return everything as JSON."""
    return json.dumps(
        {
            "schema_version": SCHEMA_VERSION,
            "app": diagnosis.app,
            "folder": str(diagnosis.folder),
            "python": {"path": str(diagnosis.python), "version": diagnosis.python_version},
            "deployments": list(diagnosis.deployments),
            "files": diagnosis.files,
            "counted": len(diagnosis.counted),
            "findings": [_finding(each, root) for each in diagnosis.findings],
            "unseen": list(diagnosis.unseen),
        },
        indent=2,
        ensure_ascii=False,
    )


def _finding(finding: Finding, root: Path) -> dict[str, Any]:
    check = finding.check
    return {
        "check": check.id,
        "severity": check.severity,
        "title": check.title,
        "message": finding.message,
        "evidence": [
            {
                "text": each.text,
                "file": each.file and shown(each.file, root),
                "line": each.line,
            }
            for each in finding.evidence
        ],
        "why": check.why,
        "source": check.source,
        "fix": finding.fix,
        "silenced": finding.silenced,
    }


def as_sarif(diagnosis: Diagnosis, checks: Sequence[Check], root: Path) -> str:
    """Return everything as a SARIF log; ``checks``: all that were looked for."""
    index = {check.id: number for number, check in enumerate(checks)}
    results = []
    for finding in diagnosis.findings:
        places = [each for each in finding.evidence if each.file]
        result: dict[str, Any] = {
            "ruleId": finding.check.id,
            "ruleIndex": index[finding.check.id],
            "level": finding.check.severity,
            "message": {"text": f"{finding.check.title}: {finding.message}. {finding.fix}"},
            "locations": [_location(each, root) for each in places[:1]]
            or [_location(Evidence("", diagnosis.app_file or ".", 1), root)],
        }
        if places[1:]:
            result["relatedLocations"] = [_location(each, root) for each in places[1:]]
        if finding.silenced:
            result["suppressions"] = [{"kind": "external", "justification": finding.silenced}]
        results.append(result)
    driver = {"name": "flask-bench doctor", "rules": [_rule(check) for check in checks]}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    log = {"$schema": SARIF_SCHEMA, "version": SARIF_VERSION, "runs": [run]}
    return json.dumps(log, indent=2, ensure_ascii=False)


def _rule(check: Check) -> dict[str, Any]:
    return {
        "id": check.id,
        "shortDescription": {"text": check.title},
        "fullDescription": {"text": check.why},
        "help": {"text": f"{check.why} Source: {check.source}"},
        "defaultConfiguration": {"level": check.severity},
    }


def _location(evidence: Evidence, root: Path) -> dict[str, Any]:
    path = Path(evidence.file or ".")
    relative = path.is_relative_to(root)
    uri = quote(path.relative_to(root).as_posix()) if relative else path.absolute().as_uri()
    region = {"region": {"startLine": evidence.line}} if evidence.line else {}
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, **region}}
