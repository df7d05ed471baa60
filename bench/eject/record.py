"""``.ejected.json``: what was written last, so that the next time what was edited is known."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from bench.eject.changes import digest
from bench.errors import UsageError

NAME = ".ejected.json"
SCHEMA = 1


@dataclass(frozen=True)
class Record:
    """The folder as this program left it."""

    deployment: str
    files: Mapping[str, str]
    """Path, relative to the folder → SHA-256 of what was written."""
    schema_version: int = SCHEMA


def read_record(target: Path) -> Record | None:
    """Return the record of a folder; ``None``: nothing was ever ejected there.

    Raises:
        UsageError: it cannot be read.

    """
    file = target / NAME
    if not file.exists():
        return None
    try:
        record = TypeAdapter(Record).validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError(
            f"{file} is damaged; remove it: files that are as they should be are then left as they"
            f" are, and others need --force\n{error}"
        ) from error
    if record.schema_version != SCHEMA:
        raise UsageError(f"{file} is of another version of flask-bench: update this one")
    return record


def as_record(deployment: str, files: Mapping[str, bytes]) -> bytes:
    """Return the record of what is written now."""
    content = {
        "schema_version": SCHEMA,
        "deployment": deployment,
        "files": {path: digest(content) for path, content in sorted(files.items())},
    }
    return json.dumps(content, indent=2).encode() + b"\n"
