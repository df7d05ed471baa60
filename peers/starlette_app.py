"""The app's routes on Starlette.

Under uvicorn, in this folder::

    uvicorn starlette_app:app --host 127.0.0.1 --port 8000 --workers 4 --loop uvloop
    --http httptools --backlog 4096 --no-access-log

Or under Granian::

    granian --interface asgi starlette_app:app --host 127.0.0.1 --port 8000 --workers 4
    --loop uvloop --backlog 4096 --backpressure 2000 --no-ws --no-access-log
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

import aiohttp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from upstream_aiohttp import RefusedError, call_api, open_client, parse_delay


class State(TypedDict):
    """What every request of a process shares."""

    client: aiohttp.ClientSession


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[State]:
    """Keep the client of the API open as long as the process serves."""
    async with open_client() as client:
        yield {"client": client}


async def api(request: Request) -> PlainTextResponse:
    """Wait for the API."""
    delay = parse_delay(request.query_params.getlist("delay"))
    await call_api(request.state.client, delay)
    return PlainTextResponse("answered by the API\n")


async def hello(_: Request) -> PlainTextResponse:
    """Answer at once."""
    return PlainTextResponse("hello\n")


async def healthz(_: Request) -> PlainTextResponse:
    """Say that this process answers."""
    return PlainTextResponse("healthy\n")


async def refused(_: Request, error: Exception) -> JSONResponse:
    """Say why."""
    status = error.status if isinstance(error, RefusedError) else 500
    return JSONResponse({"error": str(error)}, status)


app = Starlette(
    routes=[Route("/", api), Route("/hello", hello), Route("/healthz", healthz)],
    exception_handlers={RefusedError: refused},
    lifespan=lifespan,
)
