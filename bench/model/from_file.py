"""The base of what is read from files."""

from collections.abc import Mapping
from typing import ClassVar


class FromFile:
    """Base of what is read from files: an unknown key there is an error, and so is a NaN."""

    __pydantic_config__: ClassVar[Mapping[str, object]] = {
        "extra": "forbid",
        "allow_inf_nan": False,
    }
