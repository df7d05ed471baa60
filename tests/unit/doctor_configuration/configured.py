"""Files of an app's folder → what the rules find there, without an interpreter of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.doctor.configuration import examine
from bench.doctor.configuration.find import found
from bench.doctor.configuration.formats.gunicorn import Evaluated, as_written
from bench.doctor.configuration.formats.text import TextFile
from bench.doctor.configuration.model import Facts, Limits
from bench.doctor.configuration.read import facts
from bench.doctor.findings import Finding
from bench.model import Deployment

LIMITS = Limits(somaxconn=4096, open_files=4096)
VERSIONS = {"gunicorn": "27.0.1", "gevent": "26.9.0"}


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def evaluate(file: TextFile | None, versions: Mapping[str, str] = VERSIONS) -> Evaluated:
    """As the app's interpreter would, for files of constants."""
    return replace(as_written(file) if file else Evaluated(), versions=versions)


def known(
    folder: Path,
    files: Mapping[str, str],
    *,
    limits: Limits = LIMITS,
    deployments: Sequence[Deployment] = (),
) -> Facts:
    write(folder, files)
    return facts(found(folder), folder, evaluate, limits=limits, deployments=deployments)


def check(folder: Path, files: Mapping[str, str], limits: Limits = LIMITS) -> tuple[Finding, ...]:
    return examine(known(folder, files, limits=limits))


def ids(findings: Sequence[Finding]) -> set[str]:
    return {finding.check.id for finding in findings}
