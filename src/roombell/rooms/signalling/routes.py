"""The addresses that LiveKit's clients open: ``/rtc`` and ``/rtc/v1``, and ``/validate`` below each.

What is refused before a socket opens is an HTTP status with LiveKit's sentence as text. Browsers cannot read that of a
WebSocket, which is why they ask ``/validate`` for it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import WSMsgType, web
from google.protobuf.message import DecodeError
from livekit.protocol import models, rtc

from roombell.rooms.effects import Left
from roombell.rooms.participants import Joined, Joining
from roombell.rooms.refusals import Code, Refused
from roombell.rooms.signalling.access import AccessRefused, admit, joining
from roombell.rooms.signalling.joining import JoinWish, read_v0, read_v1
from roombell.rooms.signalling.outbox import Outbox
from roombell.rooms.signalling.requests import Requests
from roombell.rooms.signalling.session import Session
from roombell.rooms.signalling.sessions import Sessions, reconnect_instead
from roombell.signing import AccessClaims

REQUEST_BYTES_MAX: Final = 1_000_000
"""The largest message that is read from a client."""

CLOSE_TIMEOUT_S: Final = 1.0
"""How long a client's own close is awaited."""

_ANY_ORIGIN: Final = {"Access-Control-Allow-Origin": "*"}
_log: Final = logging.getLogger("roombell.rooms.signalling")


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Signalling:
    """The routes of signalling."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._hub = sessions.hub
        self._sockets: set[web.WebSocketResponse] = set()

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/rtc", self._answering(self._join))
        app.router.add_get("/rtc/v1", self._answering(self._join))
        app.router.add_get("/rtc/validate", self._answering(self._validate))
        app.router.add_get("/rtc/v1/validate", self._answering(self._validate))

    @property
    def sockets(self) -> int:
        """How many are open."""
        return len(self._sockets)

    def _answering(self, handler: Handler) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except AccessRefused as refusal:
                _log.info("Refused %s: %s", request.path, refusal.message)
                return web.Response(status=refusal.status, text=refusal.message, headers=_ANY_ORIGIN)

        return answer

    async def _validate(self, request: web.Request) -> web.StreamResponse:
        _, _, wanted = self._admitted(request, strict=True)
        self._check_room(wanted)
        return web.Response(text="success", headers=_ANY_ORIGIN)

    async def _join(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=REQUEST_BYTES_MAX, timeout=CLOSE_TIMEOUT_S)
        if not socket.can_prepare(request):
            return web.Response(status=404)
        claims, wish, wanted = self._admitted(request, strict=False)
        self._check_room(wanted)
        await socket.prepare(request)
        outbox = Outbox(socket, request.transport)
        self._sockets.add(socket)
        try:
            session = (
                self._resumed(wanted, wish, outbox)
                if wish.reconnect
                else self._entered(wanted, wish, claims.iss or "", outbox)
            )
            if session is not None:
                await self._serve(session, wish, socket, outbox)
        finally:
            self._sockets.discard(socket)
            outbox.finish()
            await outbox.closed()
        return socket

    def _admitted(self, request: web.Request, *, strict: bool) -> tuple[AccessClaims, JoinWish, Joining]:
        claims = admit(self._sessions.keys, _token(request), self._sessions.now_s)
        is_v1 = request.path.startswith("/rtc/v1")
        wish = read_v1(request.query) if is_v1 else read_v0(request.query, strict=strict)
        wanted = joining(claims, room=wish.room, attributes=wish.attributes, protocol=wish.protocol)
        return claims, wish, wanted

    def _check_room(self, wanted: Joining) -> None:
        """What LiveKit says before it opens the socket."""
        try:
            self._hub.do(self._hub.participants.check, wanted)
        except Refused as refusal:
            if refusal.refusal is not Code.RESOURCE_EXHAUSTED:
                raise AccessRefused(404 if refusal.refusal is Code.NOT_FOUND else 400, refusal.message) from refusal

    def _entered(self, wanted: Joining, wish: JoinWish, api_key: str, outbox: Outbox) -> Session | None:
        try:
            joined: Joined = self._hub.do(self._hub.participants.join, wanted)
        except Refused as refusal:
            _log.info("Refused %s in %s: %s", wanted.identity, wanted.room, refusal.message)
            leave = rtc.LeaveRequest(reason=models.JOIN_FAILURE, action=rtc.LeaveRequest.DISCONNECT)
            outbox.put(rtc.SignalResponse(leave=leave))
            return None
        session = Session(self._sessions, joined, api_key, wish, outbox)
        self._sessions.by_sid[session.sid] = session
        self._hub.attach(session.sid, session)
        session.begin(joined)
        try:
            self._hub.do(self._hub.participants.welcome, session.sid)
        except Refused:  # a callback that heard of the join has put it out already
            session.tell(Left(models.JOIN_FAILURE, rtc.LeaveRequest.DISCONNECT))
            return None
        return session

    def _resumed(self, wanted: Joining, wish: JoinWish, outbox: Outbox) -> Session | None:
        session = self._sessions.by_sid.get(wish.participant_sid)
        if session is None or (session.identity, session.room) != (wanted.identity, wanted.room):
            outbox.put(reconnect_instead())
            return None
        if not session.is_resumable:
            session.leave(models.STATE_MISMATCH)
            outbox.put(reconnect_instead())
            return None
        session.resume(outbox, self._hub.do(self._hub.participants.others, session.sid))
        return session

    async def _serve(self, session: Session, wish: JoinWish, socket: web.WebSocketResponse, outbox: Outbox) -> None:
        requests = Requests(self._hub, session)
        try:
            if not wish.reconnect:
                for track in wish.add_tracks:
                    requests.add_track(track)
                if wish.offer is not None:
                    await requests.offer(wish.offer)
            await self._read(requests, socket)
        finally:
            session.lost(outbox)

    async def _read(self, requests: Requests, socket: web.WebSocketResponse) -> None:
        while True:
            try:
                message = await socket.receive(timeout=self._sessions.settings.ping_timeout_s)
            except TimeoutError:
                _log.info("A client has said nothing for %d s.", self._sessions.settings.ping_timeout_s)
                return
            if message.type is not WSMsgType.BINARY:
                return
            try:
                request = rtc.SignalRequest.FromString(message.data)
            except DecodeError:
                _log.info("A client sent %d bytes that are no SignalRequest.", len(message.data))
                return
            await requests.handle(request)


def _token(request: web.Request) -> str:
    header = request.headers.get("Authorization", "")
    if header and not header.startswith("Bearer "):
        raise AccessRefused(401, "invalid authorization header. Must start with Bearer ")
    return header.removeprefix("Bearer ") or request.query.get("access_token", "")
