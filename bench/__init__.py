"""The harness: starts each deployment, proves that it answers right, loads it, and reports."""
