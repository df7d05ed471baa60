"""An ejection as files: path → content. Nothing is written here."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bench.eject.ejection import Ejection
from bench.eject.server_lock import Locked

TEMPLATES = Path(__file__).parent / "templates"


def files(ejection: Ejection, root: Path) -> Mapping[str, bytes]:
    """Return all that is written: the copies byte for byte, and what is made for this app.

    Args:
        ejection: what is to be written.
        root: the checkout, where the copied files are.

    """
    copies = {path: (root / source).read_bytes() for path, source in ejection.copies.items()}
    texts = {
        "README.md": _filled("README.md", ejection, copies),
        "app.env": _filled("app.env", ejection, copies),
        "Dockerfile": _filled("Dockerfile", ejection, copies),
        "compose.yml": _filled("compose.yml", ejection, copies),
        "kubernetes.yml": _filled("kubernetes.yml", ejection, copies),
        f"systemd/{ejection.name}.service": _filled("unit.service", ejection, copies),
        f"systemd/{ejection.name}.socket": _filled("unit.socket", ejection, copies),
        "requirements/build.txt": _lock(
            "Builds what is published as source only.", ejection.build_tools
        ),
        "requirements/server.txt": _lock(
            f"{ejection.title}, in the versions that were measured.", ejection.locked
        ),
    }
    if not ejection.own_ignore:
        texts["Dockerfile.dockerignore"] = _filled("Dockerfile.dockerignore", ejection, copies)
    if ejection.requirements.file is None:
        head = f"# What the app imports: {ejection.requirements.source}.\n"
        texts["requirements/app.txt"] = head + "".join(
            f"{pin}\n" for pin in ejection.requirements.pins
        )
    return copies | {path: text.encode() for path, text in texts.items()}


def _lock(title: str, entries: Sequence[Locked]) -> str:
    return f"# {title}\n" + "".join(f"{entry.text}\n" for entry in entries)


def _filled(template: str, ejection: Ejection, copies: Mapping[str, bytes]) -> str:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - no HTML: values are checked before, or quoted by a filter
    )
    # Dockerfiles and YAML read JSON's strings and lists
    environment.filters["quoted"] = json.dumps
    environment.filters["listed"] = lambda words: json.dumps(list(words))
    texts = {path: content.decode() for path, content in copies.items()}
    return environment.get_template(f"{template}.j2").render(e=ejection, texts=texts)
