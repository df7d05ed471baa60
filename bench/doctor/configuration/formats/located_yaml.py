"""YAML with the lines that its keys are in."""

from typing import Any

import yaml

from bench.doctor.configuration.formats.text import TextFile
from bench.errors import UsageError


class Located(dict[str, Any]):
    """A mapping that knows the line of each of its own keys; those that it merges have theirs."""

    def __init__(self, pairs: list[tuple[Any, Any]], lines: dict[str, int]) -> None:
        super().__init__((str(key), value) for key, value in pairs)
        self.lines = lines

    def within(self, *keys: str) -> "Located":
        """Return the mapping at this path; an empty one where there is none."""
        found: Any = self
        for key in keys:
            found = found.get(key) if isinstance(found, Located) else None
        return found if isinstance(found, Located) else Located([], {})


class _Loader(yaml.SafeLoader):
    """Makes `Located` mappings, and takes any tag for no tag."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Located:
    loader.flatten_mapping(node)
    pairs = loader.construct_pairs(node, deep=True)
    lines = {str(key.value): key.start_mark.line + 1 for key, _ in node.value}
    return Located(pairs, lines)


def _untagged(loader: _Loader, _tag: str, node: yaml.Node) -> Any:  # noqa: ANN401 - any YAML
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_multi_constructor("!", _untagged)


def read_yaml(file: TextFile) -> list[Located]:
    """Return the documents that are mappings.

    Raises:
        UsageError: it is no YAML.

    """
    try:
        found = list(yaml.load_all(file.text, _Loader))
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{file.shown} is no valid YAML: {error}") from error
    return [each for each in found if isinstance(each, Located)]
