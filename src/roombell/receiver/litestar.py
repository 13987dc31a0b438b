"""Litestar: a route."""

from __future__ import annotations

from typing import cast

from roombell.receiver import asgi as plain
from roombell.receiver.asgi import app
from roombell.receiver.missing import missing
from roombell.receiver.receiver import Receiver

try:
    from litestar.handlers import ASGIRouteHandler, asgi
    from litestar.types import Receive, Scope, Send
except ImportError as error:
    raise missing("Litestar", error) from error

__all__ = ["app", "route"]


def route(receiver: Receiver, path: str) -> ASGIRouteHandler:
    """A route handler for ``Litestar(route_handlers=[…])``. It is not subject to CSRF checks: the token proves more."""
    application = app(receiver)

    @asgi(path, copy_scope=True, exclude_from_csrf=True)
    async def livekit_webhook(scope: Scope, receive: Receive, send: Send) -> None:
        await application(cast("plain.Message", scope), cast("plain.Receive", receive), cast("plain.Send", send))

    return livekit_webhook
