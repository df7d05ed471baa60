"""Flask as it is, in the place of ``flask_app/lean_flask.py``."""

from flask import Flask

__all__ = ["Flask"]
