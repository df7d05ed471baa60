"""The app within bounds, as its own file would have it; MAX_REQUESTS_AT_ONCE and so on are set."""

from app import app
from bounds import Bounds

app.wsgi_app = Bounds(app.wsgi_app)  # type: ignore[method-assign]
