"""LiveKit's server API: Twirp calls that official server SDKs make."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from roombell.rooms.api import dispatch_service, egress_service, ingress_service, rights, room_service, twirp
from roombell.rooms.api.method import Handler
from roombell.rooms.hub import Hub
from roombell.rooms.refusals import Code, Refused
from roombell.signing import KeyRing

SERVICES: Final[Mapping[str, Mapping[str, Handler]]] = {
    "livekit.RoomService": room_service.METHODS,
    "livekit.Egress": egress_service.METHODS,
    "livekit.Ingress": ingress_service.METHODS,
    "livekit.AgentDispatchService": dispatch_service.METHODS,
}


def add_routes(app: web.Application, hub: Hub, keys: KeyRing) -> None:
    """Serves ``/twirp/`` of ``app``: calls on ``hub``, by whoever has a token of ``keys``.

    Bodies are bounded by the application's ``client_max_size``.
    """
    app.router.add_route("*", "/twirp/{service}/{method}", _endpoint(hub, keys))


def _endpoint(hub: Hub, keys: KeyRing) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def endpoint(request: web.Request) -> web.Response:
        try:
            is_json = twirp.form_of(request)
            handler = _handler(request)
            now = hub.clock.now_ms() / 1000
            claims = rights.claims_of(request.headers.get("Authorization"), keys, now)
            message = await handler(hub, keys, claims.video, await _body(request), is_json)
        except Refused as refused:
            return twirp.refusal(refused)
        return twirp.answer(message, is_json=is_json)

    return endpoint


def _handler(request: web.Request) -> Handler:
    service, method = request.match_info["service"], request.match_info["method"]
    handler = SERVICES.get(service, {}).get(method)
    if handler is None:
        raise Refused(Code.BAD_ROUTE, f"no handler for path {request.path!r}")
    return handler


async def _body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise Refused(Code.INVALID_ARGUMENT, "the request is larger than this server takes") from None
