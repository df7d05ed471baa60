"""Whether gevent is there, patches before all else, and stays in place."""

import ast
from collections.abc import Iterator

from packaging.version import InvalidVersion, Version

from bench.doctor.facts import Facts, Imported, Name, Rule
from bench.doctor.findings import Check, Evidence, Finding
from bench.doctor.sources import Source, Use, read_source

OLDEST_FOR_GUNICORN = Version("24.10.1")
"""What gunicorn's gevent worker asks for (gunicorn/workers/ggevent.py)."""
ASKS_FOR_IT = Version("26")
"""The first gunicorn of which that is known for sure."""
PATCH_ALL = "gevent.monkey.patch_all"
PARTS = ("socket", "thread", "select", "ssl", "time")
"""What every handler waits with."""
TAKES_AT_IMPORT = ("requests", "urllib3", "botocore", "boto3", "psycopg")
"""Packages that take an SSLContext, or choose how they wait, when they are imported."""
MOST_NAMES = 3

UNUSABLE = Check(
    "gevent-unusable",
    "error",
    "gevent cannot be imported",
    "The deployment serves with gevent, and ends at its start without it.",
    "flask_app/patched.py",
    "Install it for the app's interpreter: {python} -m pip install --upgrade gevent greenlet",
)
TOO_OLD = Check(
    "gevent-too-old",
    "error",
    "gunicorn refuses this gevent",
    "gunicorn's gevent worker raises at its start if gevent is older than 24.10.1.",
    "gunicorn/workers/ggevent.py",
    "{python} -m pip install --upgrade gevent",
)
TOO_LATE = Check(
    "patched-too-late",
    "error",
    "The app patches after it has imported what should be patched",
    "What is imported before the patch keeps the blocking originals: HTTPS calls end in a"
    " RecursionError, and psycopg waits without the loop. Behind patched.py, pywsgi.py and"
    " gunicorn_gevent.conf.py this is harmless, because they patch first; served in any other way"
    " the app breaks.",
    "gevent#1016, gunicorn#2796, psycopg#527",
    "Make `from gevent import monkey; monkey.patch_all()` the first lines of the file that is"
    " started, or remove them and let the entrypoint patch.",
)
REFERENCE = Check(
    "reference-before-patch",
    "error",
    "A name was taken before the patch",
    "The name keeps the original, so what waits with it blocks every request of the process.",
    "https://www.gevent.org/api/gevent.monkey.html",
    "Patch before this module is imported: in the first lines of the file that is started.",
)
INCOMPLETE = Check(
    "patch-incomplete",
    "warning",
    "The app leaves a part unpatched",
    "What is left out blocks every request of the process while it waits. Behind the entrypoints"
    " of flask_app/ all is patched anyway; served in any other way it is not.",
    "https://www.gevent.org/api/gevent.monkey.html#gevent.monkey.patch_all",
    "Call patch_all() without arguments.",
)
REPLACED = Check(
    "socket-replaced",
    "error",
    "Something has taken gevent's socket out again",
    "socket.socket is no longer gevent's after the import: what is connected from now on blocks"
    " every request of the process.",
    "https://www.gevent.org/api/gevent.monkey.html",
    "Remove what patches socket (eventlet.monkey_patch, a proxy library, a reload), or make it"
    " inherit from the socket that is there.",
)


def unusable(facts: Facts) -> Iterator[Finding]:
    """Find that it is missing, or does not fit greenlet."""
    error = facts.imported.gevent_error
    if error:
        message = f"{facts.app.python} cannot import gevent"
        yield Finding(UNUSABLE, message, (Evidence(error),), {"python": str(facts.app.python)})


def too_old(facts: Facts) -> Iterator[Finding]:
    """Find a gevent that gunicorn's worker does not take; where none is installed, the latest's."""
    served = [each.name for each in facts.cooperative if each.server == "gunicorn"]
    found = facts.imported.gevent
    try:
        gunicorn = Version(facts.imported.distributions.get("gunicorn", str(ASKS_FOR_IT)))
        old = Version(found or str(OLDEST_FOR_GUNICORN)) < OLDEST_FOR_GUNICORN
    except InvalidVersion:
        return
    if served and old and gunicorn >= ASKS_FOR_IT:
        yield Finding(
            TOO_OLD,
            f"{', '.join(served)} would not start with gevent {found}",
            (Evidence(f"gevent {found}"),),
            {"python": str(facts.app.python)},
        )


def too_late(facts: Facts) -> Iterator[Finding]:
    """Find a late patch, by what it left unpatched, and in files beside the app by their order."""
    by_itself = facts.by_itself
    if by_itself and by_itself.patch_calls:
        call = by_itself.patch_calls[0]
        harm = [*call.loaded, *(_spoken(name) for name in _waiting(by_itself))]
        if harm:
            shown = ", ".join(harm[:MOST_NAMES])
            more = f" and {len(harm) - MOST_NAMES} more" if len(harm) > MOST_NAMES else ""
            yield Finding(
                TOO_LATE,
                f"when it patches, these already have the originals: {shown}{more}",
                (_place(facts, call.file, call.line),),
            )
    for source in _beside(facts):
        yield from _late_in_file(facts, source)


def _waiting(by_itself: Imported) -> list[Name]:
    """Return one name of each installed module that holds an original."""
    found: dict[str, Name] = {}
    for name in by_itself.taken:
        found.setdefault(name.module, name)
    return list(found.values())


def _spoken(name: Name) -> str:
    return f"{name.module}.{name.name} ({name.what})"


def _place(facts: Facts, file: str, line: int) -> Evidence:
    for source in facts.sources:
        if str(source.file) == file:
            return source.evidence(line)
    return Evidence("monkey.patch_all()", file, line)


def _beside(facts: Facts) -> Iterator[Source]:
    """Yield the files of the app's folder that its import did not load and that patch."""
    loaded = {str(source.file) for source in facts.sources}
    below = [each.file for each in facts.sources if each.file.is_relative_to(facts.app.folder)]
    if all("site-packages" in file.parts for file in below):
        return  # the app was imported from elsewhere: these are not its own
    for file in sorted(facts.app.folder.glob("*.py")):
        of_tests = file.name.startswith("test_") or file.name == "conftest.py"
        if str(file.resolve()) not in loaded and not of_tests:
            source = read_source(file.stem, file)
            if source and any(call.name == PATCH_ALL for call in source.reader.calls):
                yield source


def _late_in_file(facts: Facts, source: Source) -> Iterator[Finding]:
    """Find imports above the patch, of a file that only its order tells something of."""
    line = min(c.node.lineno for c in source.reader.calls if c.name == PATCH_ALL)
    own = {name.partition(".")[0] for name in facts.imported.own}
    takes = {"urllib3", "psycopg"} & set(facts.imported.drivers)
    for node in source.tree.body:
        if node.lineno >= line or not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        tops = {name.partition(".")[0] for name, at in source.reader.imports if at == node.lineno}
        if tops & set(TAKES_AT_IMPORT) or (tops & own and takes):
            what = ", ".join(sorted(tops & {*TAKES_AT_IMPORT, *own}))
            yield Finding(
                TOO_LATE,
                f"{source.file.name} imports {what} in line {node.lineno} and patches below it",
                (source.evidence(line), source.evidence(node.lineno)),
            )
            return


def reference(facts: Facts) -> Iterator[Finding]:
    """Find names and locks of own modules from before the app's own patch."""
    by_itself = facts.by_itself
    if by_itself is None or not by_itself.patch_calls:
        return
    for name in (*by_itself.references, *by_itself.locks):
        source = facts.sources.by_module.get(name.module)
        if source and "get_original" in source.text:
            continue  # it means to have it
        yield Finding(
            REFERENCE,
            f"{name.module}.{name.name} is the original {name.what}",
            (facts.line_of(name.module, name.name),),
        )


def incomplete(facts: Facts) -> Iterator[Finding]:
    """Find arguments that leave out what handlers wait with."""
    beside = [Use(each, c) for each in _beside(facts) for c in each.reader.calls]
    for use in (*facts.sources.calls(PATCH_ALL), *(u for u in beside if u.call.name == PATCH_ALL)):
        for part in PARTS:
            value = use.call.argument(part)
            if isinstance(value, ast.Constant) and value.value is False:
                yield Finding(INCOMPLETE, f"{part} stays unpatched", (use.evidence,))


def replaced(facts: Facts) -> Iterator[Finding]:
    """Find another socket, or another patch."""
    found = facts.imported.patched_socket
    if not facts.imported.gevent:
        return
    if found.eventlet:
        message = f"eventlet has patched {', '.join(found.eventlet)}, too"
        yield Finding(REPLACED, message, (Evidence("eventlet.monkey_patch()"),))
    elif not found.cooperative:
        message = f"socket.socket is {found.type}"
        yield Finding(REPLACED, message, (Evidence(found.type),))


RULES: tuple[Rule, ...] = (
    Rule(UNUSABLE, unusable),
    Rule(TOO_OLD, too_old),
    Rule(TOO_LATE, too_late),
    Rule(REFERENCE, reference),
    Rule(INCOMPLETE, incomplete),
    Rule(REPLACED, replaced),
)
