"""Any ASGI server or framework: the receiver as an application of its own, to be served alone or mounted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, nullcontext
from http import HTTPStatus

from roombell.errors import UsageError
from roombell.receiver.answers import Answer
from roombell.receiver.delivery import HeaderLookup
from roombell.receiver.receiver import Receiver

__all__ = ["app"]

Message = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class _ClientLeft(Exception):
    """The connection closed before the body was complete."""


def app(receiver: Receiver, *, lifespan: AbstractAsyncContextManager[object] | None = None) -> Application:
    """An application that takes webhooks at whatever path it is served or mounted at.

    :param lifespan: is entered when the server starts the application and left when it stops, where the application is
        served alone. Frameworks tell what they mount nothing of that.
    """
    return _Application(receiver, nullcontext() if lifespan is None else lifespan)


class _Application:  # not a function: Starlette takes functions for endpoints
    def __init__(self, receiver: Receiver, around: AbstractAsyncContextManager[object]) -> None:
        self._receiver = receiver
        self._around = around

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await self._serve(scope, receive, send)
        elif kind == "lifespan":
            await _live(self._around, receive, send)
        elif kind == "websocket":
            await send({"type": "websocket.close"})
        else:
            raise UsageError(f"The receiver takes webhooks by HTTP; the server came with {kind!r}.")

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        try:
            answer = await self._receiver.respond(str(scope["method"]), _lookup(scope["headers"]), _chunks(receive))
        except _ClientLeft:
            return
        await _send(answer, send)


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientLeft
        body = message.get("body", b"")
        assert isinstance(body, bytes)
        yield body
        if not message.get("more_body", False):
            return


async def _send(answer: Answer, send: Send) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
    if answer.status != HTTPStatus.NO_CONTENT:
        headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _live(around: AbstractAsyncContextManager[object], receive: Receive, send: Send) -> None:
    """ASGI's lifespan: each half is confirmed, or said to have failed, and the server reports why."""
    await receive()
    phase = "startup"
    try:
        async with around:
            await send({"type": "lifespan.startup.complete"})
            await receive()
            phase = "shutdown"
    except Exception as error:
        await send({"type": f"lifespan.{phase}.failed", "message": f"{type(error).__name__}: {error}"})
        raise
    await send({"type": "lifespan.shutdown.complete"})


def _lookup(headers: object) -> HeaderLookup:
    """By name in whatever case; of several of one name, the first."""
    assert isinstance(headers, list | tuple)
    by_name: dict[str, str] = {}
    for name, value in headers:
        by_name.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return lambda name: by_name.get(name.lower())
