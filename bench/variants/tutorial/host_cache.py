"""Flask as it is, in the place of ``flask_app/host_cache.py``."""

from flask import Flask

__all__ = ["Flask"]
