"""The app with an access log, as its own file would have it."""

from access_log import AccessLog
from app import app

app.wsgi_app = AccessLog(app.wsgi_app)  # type: ignore[method-assign]
