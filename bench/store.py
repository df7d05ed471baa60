"""Runs on disk: ``results/<UTC time>-<workload>/run.json``, versioned and never half-written."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from bench.errors import ResultsError, UsageError
from bench.model import Run

# History of the schema, newest last:
#   1  the first one
SCHEMA = 1

RUN_FILE = "run.json"
LATEST = "latest"
ROOM_NEEDED = 64 * 1024 * 1024
"""Bytes that must be free before a run begins: a run of all deployments keeps a few MB."""

_RUN = TypeAdapter(Run)


def new_run_folder(results: Path, workload: str, now: datetime | None = None) -> Path:
    """Make the folder of a new run; a second run within the same second gets a number.

    Raises:
        ResultsError: the folder cannot be made or written, or the disk is full.

    """
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    try:
        results.mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(results).free) < ROOM_NEEDED:
            raise ResultsError(
                f"only {free // 1024**2} MB are free where {results} is;"
                f" a run needs {ROOM_NEEDED // 1024**2} MB. Remove old runs or choose another"
                " folder with --results."
            )
        for number in range(1, 100):
            suffix = "" if number == 1 else f"-{number}"
            folder = results / f"{stamp}-{workload}{suffix}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise _not_writable(results, error) from error
    raise ResultsError(f"{results} already holds 99 runs of this second")


@contextmanager
def discarded_unless_saved(folder: Path) -> Iterator[None]:
    """Remove the folder of a run that was refused before it was ever saved."""
    try:
        yield
    except BaseException:
        if not (folder / RUN_FILE).exists():
            shutil.rmtree(folder, ignore_errors=True)
        raise


def save_run(run: Run, folder: Path) -> None:
    """Write the run whole or not at all: readers see the old file or the new one.

    Raises:
        ResultsError: the disk is full or the folder cannot be written.

    """
    try:
        _replace(folder / RUN_FILE, _RUN.dump_json(run, indent=1))
        _point_latest_to(folder)
    except OSError as error:
        raise _not_writable(folder, error) from error


def load_run(path: Path) -> Run:
    """Read a run from its folder or its ``run.json``.

    Raises:
        UsageError: it is no run, damaged, or of a schema that this version does not know.

    """
    file = path / RUN_FILE if path.is_dir() else path
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} is no run: {error.strerror}: {file}") from error
    try:
        found = from_json(content)
    except ValueError as error:
        raise UsageError(f"{file} is damaged or no run: {error}") from error
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema != SCHEMA:
        raise UsageError(
            f"{file} has schema version {schema!r}; this version of flask-bench reads {SCHEMA}."
            + (" A newer flask-bench wrote it." if isinstance(schema, int) else "")
        )
    try:
        return _RUN.validate_json(content)
    except ValidationError as error:
        problems = "\n  ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5]
        )
        raise UsageError(f"{file} is damaged or no run:\n  {problems}") from error


def run_as_json(run: Run) -> str:
    """Return what `save_run` writes."""
    return _RUN.dump_json(run, indent=1).decode()


def _replace(file: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _point_latest_to(folder: Path) -> None:
    """Make ``latest`` name this run; a link is replaced whole, as a file is."""
    link = folder.parent / f".{LATEST}-{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(folder.name)
    link.replace(folder.parent / LATEST)


def _not_writable(path: Path, error: OSError) -> ResultsError:
    return ResultsError(
        f"cannot write to {path}: {error.strerror or error}."
        " Make room or change its permissions, or choose another folder with --results."
    )
