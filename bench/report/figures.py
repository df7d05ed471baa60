"""Figures as people read them. A figure that is not known is a dash, never a number."""

UNKNOWN = "–"


def rate(value: float | None) -> str:
    """Format requests per second, with as many digits as say something."""
    if value is None:
        return UNKNOWN
    digits = 2 if value < 100 else 1 if value < 1000 else 0
    return f"{value:,.{digits}f}"


def seconds(value: float | None) -> str:
    """Format a duration in the unit that suits it."""
    if value is None:
        return UNKNOWN
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.2f} s" if value < 100 else f"{value:.0f} s"


def milliseconds(value: float | None) -> str:
    """Format seconds as milliseconds, without the unit."""
    return UNKNOWN if value is None else f"{value * 1000:.2f}"


def size(value: float | None) -> str:
    """Format bytes as MiB."""
    return UNKNOWN if value is None else f"{value / 1024**2:.0f} MiB"


def percent(value: float | None) -> str:
    """Format a share as a percentage."""
    return UNKNOWN if value is None else f"{value:.0%}"


def ratio(new: float | None, base: float | None) -> str:
    """Format new ÷ base."""
    return UNKNOWN if new is None or not base else f"{new / base:.3f}×"


def count(value: float | None) -> str:
    """Format a whole number."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def span(value: float) -> str:
    """Format a wall time for a progress line."""
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
