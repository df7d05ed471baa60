"""The app's routes on Sanic, under its own server.

In this folder::

    BIND=127.0.0.1:8000 WORKERS=4 BACKLOG=4096 python -m sanic_app

Not by the ``sanic`` command: that has no option for the listen queue, which would hold 100.
"""

import os
from types import SimpleNamespace

from sanic import HTTPResponse, Request, Sanic, json, text
from sanic.config import Config

from upstream_aiohttp import RefusedError, call_api, open_client, parse_delay

Peer = Sanic[Config, SimpleNamespace]

app: Peer = Sanic("sanic_app")


@app.before_server_start
async def open_api(app: Peer) -> None:
    """Open the client of the API, in each worker."""
    app.ctx.client = open_client()


@app.after_server_stop
async def close_api(app: Peer) -> None:
    """Close its connections."""
    await app.ctx.client.close()


@app.get("/")
async def api(request: Request) -> HTTPResponse:
    """Wait for the API."""
    query = request.get_args(keep_blank_values=True)  # request.args would drop "delay="
    await call_api(request.app.ctx.client, parse_delay(query.getlist("delay", [])))
    return text("answered by the API\n")


@app.get("/hello")
async def hello(_: Request) -> HTTPResponse:
    """Answer at once."""
    return text("hello\n")


@app.get("/healthz")
async def healthz(_: Request) -> HTTPResponse:
    """Say that this process answers."""
    return text("healthy\n")


@app.exception(RefusedError)
async def refused(_: Request, error: RefusedError) -> HTTPResponse:
    """Say why."""
    return json({"error": str(error)}, error.status)


if __name__ == "__main__":
    host, _, port = os.environ.get("BIND", "127.0.0.1:8000").rpartition(":")
    app.run(
        host=host,
        port=int(port),
        workers=int(os.environ.get("WORKERS", "4")),
        backlog=int(os.environ.get("BACKLOG", "4096")),
        access_log=False,
        motd=False,
    )
