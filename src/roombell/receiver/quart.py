"""Quart: a view, and a blueprint for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from roombell.receiver.asgi import app
from roombell.receiver.missing import missing
from roombell.receiver.receiver import Receiver

try:
    from quart import Blueprint, Response, request
except ImportError as error:
    raise missing("Quart", error) from error

__all__ = ["METHODS", "app", "route", "view"]

METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
"""What a rule for ``view`` should take, so that the receiver says which are allowed."""


def view(receiver: Receiver) -> Callable[[], Awaitable[Response]]:
    """A view function."""

    async def livekit_webhook() -> Response:
        answer = await receiver.respond(request.method, request.headers.get, request.body)
        return Response(answer.body, answer.status, dict(answer.headers))

    return livekit_webhook


def route(receiver: Receiver, path: str, *, name: str = "roombell") -> Blueprint:
    """A blueprint for ``app.register_blueprint(…)``.

    :param name: the blueprint's; each of an application needs one of its own.
    """
    blueprint = Blueprint(name, __name__)
    blueprint.add_url_rule(path, view_func=view(receiver), methods=list(METHODS), provide_automatic_options=False)
    return blueprint
