"""What a client asks for in the course of its session, one request after another."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from livekit.protocol import models, rtc

from roombell.rooms.hub import Hub
from roombell.rooms.media.sdp import SdpError
from roombell.rooms.refusals import Code, Refused
from roombell.rooms.signalling.session import Session

_log: Final = logging.getLogger("roombell.rooms.signalling")

_REASON_BY_CODE: Final = {
    Code.NOT_FOUND: rtc.RequestResponse.NOT_FOUND,
    Code.PERMISSION_DENIED: rtc.RequestResponse.NOT_ALLOWED,
    Code.INVALID_ARGUMENT: rtc.RequestResponse.LIMIT_EXCEEDED,
    Code.RESOURCE_EXHAUSTED: rtc.RequestResponse.LIMIT_EXCEEDED,
}


class Requests:
    """Answers the requests of one session."""

    def __init__(self, hub: Hub, session: Session) -> None:
        self._hub = hub
        self._session = session
        self._by_name: dict[str, Callable[[rtc.SignalRequest], None]] = {
            "ping": self._ping,
            "ping_req": self._ping_request,
            "add_track": lambda request: self.add_track(request.add_track),
            "mute": self._mute,
            "subscription": self._subscription,
            "track_setting": lambda request: session.receiving.set(request.track_setting),
            "subscription_permission": lambda request: session.permit(request.subscription_permission),
            "update_metadata": self._update_metadata,
            "leave": self._leave,
            "sync_state": self._sync_state,
            "simulate": self._simulate,
        }

    async def handle(self, request: rtc.SignalRequest) -> None:
        """Does what is asked. What LiveKit has and this server has not is passed over."""
        name = request.WhichOneof("message")
        if self._session.is_over:
            return
        if name == "offer":
            await self.offer(request.offer)
        elif name == "answer":
            await self._answer(request.answer)
        elif name == "trickle":
            await self._trickle(request.trickle)
        elif name in self._by_name:
            self._by_name[name](request)
        else:
            _log.debug("A client asked for %s, which is not there.", name)

    async def offer(self, offer: rtc.SessionDescription) -> None:
        """Answers an offer; a client whose offer cannot be used is told to begin anew."""
        session = self._session
        try:
            published = await session.peer.take_offer(offer.sdp)
        except (SdpError, OSError) as error:
            self._broken(error)
            return
        may_publish = session.participant.permission.can_publish
        session.publishing.offered(published if may_publish else ())
        answer = session.peer.answer()
        description = rtc.SessionDescription(
            type="answer", sdp=answer.text, id=offer.id, mid_to_track_id=answer.track_id_by_mid
        )
        session.send(rtc.SignalResponse(answer=description))
        if session.peer.is_single:
            session.negotiator.settled()

    def add_track(self, request: rtc.AddTrackRequest) -> None:
        try:
            self._hub.do(self._hub.tracks.add, self._session.sid, request)
        except Refused as refusal:
            self._respond(rtc.RequestResponse(add_track=request), refusal)

    async def _answer(self, answer: rtc.SessionDescription) -> None:
        try:
            await self._session.peer.take_answer(answer.sdp)
        except (SdpError, OSError) as error:
            self._broken(error)
        else:
            self._session.negotiator.settled()

    async def _trickle(self, trickle: rtc.TrickleRequest) -> None:
        for_subscriber = trickle.target == rtc.SUBSCRIBER
        await self._session.peer.add_candidate(trickle.candidateInit, for_subscriber=for_subscriber)

    def _broken(self, error: Exception) -> None:
        _log.warning("%s has to begin anew: %s", self._session.identity, error)
        self._session.leave(models.STATE_MISMATCH)

    def _ping(self, _request: rtc.SignalRequest) -> None:
        self._session.send(rtc.SignalResponse(pong=self._hub.clock.now_ms()))

    def _ping_request(self, request: rtc.SignalRequest) -> None:
        pong = rtc.Pong(last_ping_timestamp=request.ping_req.timestamp, timestamp=self._hub.clock.now_ms())
        self._session.send(rtc.SignalResponse(pong_resp=pong))

    def _mute(self, request: rtc.SignalRequest) -> None:
        mute = request.mute
        try:
            self._hub.do(self._hub.tracks.mute, self._session.sid, mute.sid, muted=mute.muted)
        except Refused as refusal:
            self._respond(rtc.RequestResponse(mute=mute), refusal)
        else:
            self._session.publishing.mute(mute.sid, muted=mute.muted)

    def _subscription(self, request: rtc.SignalRequest) -> None:
        wish = request.subscription
        sids = [*wish.track_sids, *(sid for tracks in wish.participant_tracks for sid in tracks.track_sids)]
        self._session.receiving.wish(sids, subscribe=wish.subscribe)

    def _update_metadata(self, request: rtc.SignalRequest) -> None:
        wish, session = request.update_metadata, self._session
        response = rtc.RequestResponse(request_id=wish.request_id, update_metadata=wish)
        try:
            self._hub.do(
                self._hub.participants.update_self, session.sid, wish.name, wish.metadata, dict(wish.attributes)
            )
        except Refused as refusal:
            self._respond(response, refusal)
        else:
            session.send(rtc.SignalResponse(request_response=response))

    def _leave(self, request: rtc.SignalRequest) -> None:
        said = request.leave.reason
        known = (models.USER_UNAVAILABLE, models.USER_REJECTED)
        self._session.say_goodbye(said if said in known else models.CLIENT_INITIATED)

    def _sync_state(self, request: rtc.SignalRequest) -> None:
        """After a resume: all is still here but what the client does not show."""
        hidden = rtc.UpdateTrackSettings(track_sids=request.sync_state.track_sids_disabled, disabled=True)
        self._session.receiving.set(hidden)

    def _simulate(self, request: rtc.SignalRequest) -> None:
        """The scenarios that LiveKit's clients offer for tests, as far as they make sense on one node."""
        scenario = request.simulate.WhichOneof("scenario")
        if scenario in ("server_leave", "node_failure"):
            self._session.leave(models.SERVER_SHUTDOWN)
        elif scenario in ("migration", "leave_request_full_reconnect"):
            self._session.leave(models.STATE_MISMATCH)

    def _respond(self, response: rtc.RequestResponse, refusal: Refused) -> None:
        response.reason = _REASON_BY_CODE.get(refusal.refusal, rtc.RequestResponse.UNCLASSIFIED_ERROR)
        response.message = refusal.message
        self._session.send(rtc.SignalResponse(request_response=response))
