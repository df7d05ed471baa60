"""The examples of tests/data/doctor: per check what is found, and what is left alone."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench.catalog import load_catalog
from bench.doctor.facts import Facts, FlaskApp, Imported, Secret, SocketFacts
from bench.doctor.sources import read_sources
from bench.model import Deployment
from bench.own_app.app import OwnApp

FOLDER = Path(__file__).resolve().parents[2] / "data" / "doctor"
BLOCK = re.compile(r"```python *(?P<deployment>\S*)\n(?P<text>.*?)```", re.DOTALL)
OTHER_FILE = re.compile(r"^# --- (\S+)\n", re.MULTILINE)
NEUTRAL = Imported(
    "3.11.7", "/usr", "flask", "flask.app.Flask", gevent="26.9.0",
    patched_socket=SocketFacts("gevent._socket3.socket", cooperative=True),
    flask_app=FlaskApp(secret=Secret("x", short=False, public=False)),
)  # fmt: skip
"""An import that shows nothing of note."""


@dataclass(frozen=True)
class Example:
    """One app."""

    check: str
    needs: Literal["source", "import"]
    found: bool
    deployment: Deployment
    number: int
    files: dict[str, str] = field(repr=False)

    @property
    def id(self) -> str:
        return f"{self.check}-{'found' if self.found else 'alone'}-{self.number}"

    def write(self, folder: Path) -> OwnApp:
        for name, text in self.files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return OwnApp("shop:app", folder.resolve())


def examples() -> Iterator[Example]:
    catalog = load_catalog()
    for file in sorted(FOLDER.glob("*.md")):
        if file.name == "README.md":
            continue
        text = file.read_text("utf-8")
        head, first, rest = text.partition("## Found")
        bad, second, good = rest.partition("## Left alone")
        assert first, file
        assert second, file
        title, needs = head.split("\n")[:2]
        assert title == f"# {file.stem}"
        assert needs in {"source", "import"}, file
        for found, part in ((True, bad), (False, good)):
            blocks = list(BLOCK.finditer(part))
            assert blocks, file
            for number, block in enumerate(blocks, start=1):
                name, *others = OTHER_FILE.split(f"# --- shop.py\n{block['text']}")[1:]
                pairs = [name, *others]
                files = dict(zip(pairs[::2], pairs[1::2], strict=True))
                deployment = catalog.deployment(block["deployment"] or "gevent-uwsgi")
                yield Example(
                    file.stem,
                    "source" if needs == "source" else "import",
                    found,
                    deployment,
                    number,
                    files,
                )


def facts_of_source(example: Example, folder: Path) -> Facts:
    """Return what reading shows, with an import that shows nothing of note."""
    app = example.write(folder)
    modules = {
        name.removesuffix(".py").replace("/", ".").removesuffix(".__init__"): str(folder / name)
        for name in example.files
    }
    return Facts(app, [example.deployment], NEUTRAL, read_sources(modules))
