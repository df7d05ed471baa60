"""The user's own app: what it is, where it is imported from, and what it needs."""
