"""The app with metrics, as its own file would have it."""

from app import app
from metrics import Metrics

app.wsgi_app = Metrics(app.wsgi_app, flask=app)  # type: ignore[method-assign]
