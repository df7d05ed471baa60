"""Durations as Compose, systemd and nginx write them."""

import re

SECONDS = {
    "us": 1e-6, "ms": 1e-3, "": 1.0, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0,
    "m": 60.0, "min": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hr": 3600.0,
    "hour": 3600.0, "hours": 3600.0, "d": 86400.0, "day": 86400.0, "days": 86400.0,
}  # fmt: skip
PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)")


def seconds(text: str) -> float | None:
    """Return ``1m30s``, ``1min 30s`` or ``90`` in seconds; ``None``: it is no duration.

    ``infinity`` is one: no limit at all.
    """
    text = text.strip().lower()
    if text == "infinity":
        return float("inf")
    parts = PART.findall(text)
    if not parts or PART.sub("", text).strip() or any(unit not in SECONDS for _, unit in parts):
        return None
    return sum(float(number) * SECONDS[unit] for number, unit in parts)
