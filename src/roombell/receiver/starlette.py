"""Starlette: a view, a route, and the event of a request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from roombell.errors import BodyBrokenOff, RoombellError
from roombell.events import WebhookEvent
from roombell.receiver.answers import Answer, BodyBuffer
from roombell.receiver.asgi import app
from roombell.receiver.delivery import DeliveryInfo
from roombell.receiver.missing import missing
from roombell.receiver.receiver import Receiver

try:
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import Response
    from starlette.routing import Route
except ImportError as error:
    raise missing("Starlette", error) from error

__all__ = ["Refused", "app", "delivery", "receive", "route", "view"]


def view(receiver: Receiver) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint. Its route should take all methods, so that the receiver says which are allowed."""

    async def endpoint(request: Request) -> Response:
        return _response(await receiver.respond(request.method, request.headers.get, _chunks(request)))

    return endpoint


def route(receiver: Receiver, path: str) -> Route:
    """A route for ``Starlette(routes=[…])``."""
    return Route(path, app(receiver), include_in_schema=False)


class Refused(HTTPException):
    """A request that ``receive`` refuses. Starlette and FastAPI answer it as the receiver answers everywhere."""

    def __init__(self, answer: Answer) -> None:
        told = msgspec.json.decode(answer.body, type=dict[str, str]) if answer.body else {}
        super().__init__(answer.status, told.get("message"), dict(answer.headers))
        self.answer = answer


async def receive(receiver: Receiver, request: Request) -> WebhookEvent:
    """The verified event of a request, for an endpoint of one's own.

    Listeners, and handlers or the inbox, get it first, if there are any.

    :raises Refused: it is no webhook of ours, or it cannot be handled now. Let it pass.
    """
    _know_refusals(request)
    early = receiver.before_body(request.method, request.headers.get)
    if early is not None:
        raise Refused(early)
    buffer = BodyBuffer(receiver.body_bytes_max)
    try:
        async for chunk in _chunks(request):
            buffer.add(chunk)
        event = receiver.receive(buffer.body(), request.headers.get("Authorization"))
        await receiver.take(event, delivery(request))
    except RoombellError as error:
        raise Refused(receiver.refusal(error)) from error
    return event


def delivery(request: Request) -> DeliveryInfo:
    """What Roombell's headers tell, beside the event."""
    return DeliveryInfo.from_headers(request.headers.get)


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    """The body. A client that leaves is refused: raised, it would be logged as an error of the application."""
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        raise BodyBrokenOff from error


def _know_refusals(request: Request) -> None:
    """Has the application answer ``Refused``, where it has no handler of its own for it.

    Without, Starlette would answer its text alone and FastAPI wrap it into ``{"detail": …}``.
    """
    tables: tuple[dict[object, object], ...] = request.scope.get("starlette.exception_handlers", ({},))
    tables[0].setdefault(Refused, _answer_refusal)


async def _answer_refusal(_: Request, error: Refused) -> Response:
    return _response(error.answer)


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers))
