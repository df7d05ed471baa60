"""The app within bounds, with metrics and an access log, each around the one before it."""

from access_log import AccessLog
from app import app
from bounds import Bounds
from metrics import Metrics

app.wsgi_app = Bounds(app.wsgi_app)  # type: ignore[method-assign]
app.wsgi_app = Metrics(app.wsgi_app, flask=app)  # type: ignore[method-assign]
app.wsgi_app = AccessLog(app.wsgi_app)  # type: ignore[method-assign]
