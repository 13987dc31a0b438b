"""FastAPI: a router, and the receiver as a dependency.

::

    @app.post("/livekit", **OPENAPI)
    async def livekit(event: WebhookEvent = Depends(receiver)) -> None: ...
"""

from __future__ import annotations

from inspect import Parameter, Signature
from typing import Final, TypedDict

from roombell.events import EVENT_TYPES, WebhookEvent
from roombell.receiver.missing import missing
from roombell.receiver.receiver import Receiver

try:
    from fastapi import APIRouter, Depends, Request
    from fastapi.security import APIKeyHeader
except ImportError as error:
    raise missing("FastAPI", error) from error

from roombell.receiver.starlette import Refused, app, delivery, receive, view
from roombell.receiver.starlette import route as starlette_route

__all__ = ["OPENAPI", "Refused", "app", "delivery", "receive", "route", "view"]


class Operation(TypedDict):
    """What FastAPI's ``post`` and the like take to describe an operation."""

    responses: dict[int | str, dict[str, object]]
    openapi_extra: dict[str, object]


_TOKEN: Final = APIKeyHeader(
    name="Authorization",
    scheme_name="LiveKitWebhook",
    description="LiveKit's token: HS256 over the body's SHA-256, bare or after `Bearer`.",
    auto_error=False,
)
_WORD: Final = {"type": "string"}
_ERROR_CONTENT: Final = {
    "application/json": {
        "schema": {
            "title": "WebhookRefused",
            "type": "object",
            "required": ["error", "message"],
            "properties": {"error": {**_WORD, "description": "A stable word."}, "message": _WORD},
        }
    }
}
_EVENT_SCHEMA: Final = {
    "title": "WebhookEvent",
    "description": "LiveKit's `livekit.WebhookEvent` as protobuf's JSON. The lists of events and of fields are open.",
    "type": "object",
    "required": ["event"],
    "properties": {
        "event": {**_WORD, "examples": list(EVENT_TYPES)},
        "id": {**_WORD, "description": "The same for each repeat."},
        "createdAt": {**_WORD, "description": "Unix seconds."},
        "room": {"type": "object"},
        "participant": {"type": "object"},
        "track": {"type": "object"},
        "egressInfo": {"type": "object"},
        "ingressInfo": {"type": "object"},
        "job": {"type": "object"},
    },
}


def _refusal(description: str) -> dict[str, object]:
    return {"description": description, "content": _ERROR_CONTENT}


OPENAPI: Final[Operation] = {
    "responses": {
        400: _refusal("Rightly signed, but no LiveKit webhook event."),
        401: _refusal("Not signed by one of the keys; the message says why."),
        413: _refusal("The body is too large."),
        500: _refusal("A handler failed. Send it again."),
        503: _refusal("It cannot be taken now. Send it again after `Retry-After` seconds."),
    },
    "openapi_extra": {
        "requestBody": {"required": True, "content": {"application/webhook+json": {"schema": _EVENT_SCHEMA}}}
    },
}
"""Describes the body and the refusals of an operation whose dependency is a receiver: FastAPI lets a dependency tell of
its header, which it does by itself, and of nothing else."""


def route(receiver: Receiver, path: str) -> APIRouter:
    """A router for ``app.include_router(…)`` that takes webhooks at ``path`` and calls the receiver's handlers."""
    router = APIRouter()
    router.routes.append(starlette_route(receiver, path))  # answers: FastAPI's own would cost more than all the rest
    described = [Depends(_TOKEN)]

    @router.post(path, dependencies=described, **OPENAPI)  # describes: the one before it takes every request
    def livekit_webhook() -> None:
        """Takes a webhook of LiveKit's."""

    return router


def signature() -> Signature:
    """What FastAPI is told that a receiver takes when it is called as a dependency."""
    request = Parameter(
        "request", Parameter.POSITIONAL_OR_KEYWORD, annotation=Request, default=Depends(_signed_request)
    )
    return Signature([request], return_annotation=WebhookEvent)


def _signed_request(request: Request, _: str | None = Depends(_TOKEN)) -> Request:
    """The request, in whose description the token appears."""
    return request
