"""aiohttp's server: a handler, and a route for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from roombell.errors import BodyBrokenOff
from roombell.receiver.missing import missing
from roombell.receiver.receiver import Receiver

try:
    from aiohttp import web
except ImportError as error:
    raise missing("aiohttp", error) from error

__all__ = ["route", "view"]


def view(receiver: Receiver) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A request handler. Its route should take all methods, so that the receiver says which are allowed."""

    async def livekit_webhook(request: web.Request) -> web.Response:
        answer = await receiver.respond(request.method, request.headers.get, _chunks(request))
        return web.Response(body=answer.body, status=answer.status, headers=dict(answer.headers))

    return livekit_webhook


def route(receiver: Receiver, path: str) -> web.RouteDef:
    """A route for ``app.add_routes([…])``."""
    return web.route("*", path, view(receiver))


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    """The body, also where a middleware has read it; aiohttp's own limit is for those who read it whole."""
    if request.content.at_eof():
        yield await request.read()
        return
    try:
        async for chunk in request.content.iter_any():
            yield chunk
    except (ConnectionResetError, web.RequestPayloadError) as error:
        raise BodyBrokenOff from error
