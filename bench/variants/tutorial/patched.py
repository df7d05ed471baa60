"""The tutorial's entrypoint for uWSGI and gunicorn: it patches gevent, and nothing else."""

from gevent import monkey

monkey.patch_all()

from app import app  # noqa: F401
