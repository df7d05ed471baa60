"""What is looked for in an app: pure functions over `bench.doctor.facts.Facts`, in one list."""

from bench.doctor.checks import calls, concurrency, databases, drivers, patching, settings
from bench.doctor.facts import Rule

RULES: tuple[Rule, ...] = (
    *patching.RULES,
    *databases.RULES,
    *drivers.RULES,
    *calls.RULES,
    *concurrency.RULES,
    *settings.RULES,
)
"""In the order in which they are shown: what stops the app first."""
