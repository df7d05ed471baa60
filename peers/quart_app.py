"""The app's routes on Quart, which is Flask's interface on asyncio.

Under Hypercorn, in this folder::

    hypercorn quart_app:app --bind 127.0.0.1:8000 --workers 4 --worker-class uvloop --backlog 4096

Hypercorn writes no access log unless it is told where to.
"""

from quart import Quart, Response, jsonify, request

from upstream_aiohttp import RefusedError, call_api, open_client, parse_delay

TEXT = {"Content-Type": "text/plain; charset=utf-8"}

Answer = tuple[str, dict[str, str]]

app = Quart(__name__)


@app.before_serving
async def open_api() -> None:
    """Open the client of the API, in each worker."""
    app.extensions["api"] = open_client()


@app.after_serving
async def close_api() -> None:
    """Close its connections."""
    await app.extensions["api"].close()


@app.get("/")
async def api() -> Answer:
    """Wait for the API."""
    await call_api(app.extensions["api"], parse_delay(request.args.getlist("delay")))
    return "answered by the API\n", TEXT


@app.get("/hello")
async def hello() -> Answer:
    """Answer at once."""
    return "hello\n", TEXT


@app.get("/healthz")
async def healthz() -> Answer:
    """Say that this process answers."""
    return "healthy\n", TEXT


@app.errorhandler(RefusedError)
async def refused(error: RefusedError) -> tuple[Response, int]:
    """Say why."""
    return jsonify(error=str(error)), error.status
