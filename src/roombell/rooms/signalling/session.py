"""One participant's session: its signalling over as many sockets as it takes, and its media.

The machine decides what happens in a room; a session carries what the client says to it, and what it says to the
client. A lost socket ends nothing by itself: the participant has ``resume_timeout_s`` to come back.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from livekit.protocol import models, rtc

from roombell.rooms.effects import (
    DataSent,
    GrantsChanged,
    Left,
    Moved,
    Notice,
    ParticipantsChanged,
    SubscriptionsChanged,
    TrackAccepted,
    TrackMuted,
    TrackRemoved,
)
from roombell.rooms.grants import grants_of
from roombell.rooms.media.channels import LOSSY, RELIABLE
from roombell.rooms.media.codecs import MIME_TYPES, Codec
from roombell.rooms.media.forwarding import Source
from roombell.rooms.media.peer import Peer
from roombell.rooms.participants import Joined
from roombell.rooms.refusals import Refused
from roombell.rooms.signalling.access import TOKEN_LIFE_S
from roombell.rooms.signalling.data import relay
from roombell.rooms.signalling.joining import JoinWish
from roombell.rooms.signalling.negotiating import Asking, Offering
from roombell.rooms.signalling.outbox import Outbox
from roombell.rooms.signalling.publishing import Publishing
from roombell.rooms.signalling.receiving import Receiving
from roombell.rooms.signalling.sessions import SERVER_VERSION, Sessions, server_info
from roombell.rooms.signalling.telling import as_response

_log: Final = logging.getLogger("roombell.rooms.signalling")


class Session:
    """Takes the machine's notices for its participant, and its client's requests.

    :param joined: what the machine says of the join.
    :param api_key: the key that signed the participant's token, and signs its new ones.
    :param outbox: the client's first socket.
    """

    def __init__(self, sessions: Sessions, joined: Joined, api_key: str, wish: JoinWish, outbox: Outbox) -> None:
        self._sessions = sessions
        self._hub = sessions.hub
        self._loop = asyncio.get_running_loop()
        self.sid = joined.participant.sid
        self.identity = joined.participant.identity
        self.room = joined.room.name
        self.participant = joined.participant
        self.is_over = False
        self.last_sequence = 0
        """Of the last reliable data message."""
        self._api_key = api_key
        self._outbox: Outbox | None = outbox
        self._is_active = False
        self._has_failed = self._is_sent_away = False
        self._goodbye: models.DisconnectReason | None = None
        self._early: list[tuple[str, Source, Codec, str]] = []
        """Media that came before the participant was active."""
        self._grace: asyncio.TimerHandle | None = None
        self._refresh: asyncio.TimerHandle | None = None
        self._permissions: rtc.SubscriptionPermission | None = None
        self.is_subscriber_primary = wish.is_subscriber_primary and self._may_subscribe
        self.peer = Peer(
            sessions.certificate,
            sessions.addresses,
            is_single=wish.is_single,
            is_subscriber_primary=self.is_subscriber_primary,
            on_connected=self._on_connected,
            on_failed=self._on_failed,
            on_data=lambda label, message: relay(sessions, self, label, message),
        )
        self.publishing = Publishing(self._on_live, self.end_track)
        negotiates = Asking if wish.is_single else Offering
        self.negotiator: Asking | Offering = negotiates(self.peer, self.send)
        self.receiving = Receiving(
            self.peer,
            self.negotiator,
            sessions.sources.get,
            lambda publisher, track: sessions.is_allowed(self, publisher, track),
            auto=wish.auto_subscribe,
        )
        self.receiving.permit(may_subscribe=self._may_subscribe)

    @property
    def is_resumable(self) -> bool:
        """Whether a client that comes back finds its media connection as it was."""
        return self._is_active and not self._has_failed and not self.is_over

    def send(self, response: rtc.SignalResponse) -> None:
        """Never waits; without a socket it is lost, as what follows a resume makes up for it."""
        if self._outbox is not None:
            self._outbox.put(response)

    def begin(self, joined: Joined) -> None:
        """Tells the client that it joined, and begins to follow the others."""
        self.send(rtc.SignalResponse(join=self._join_response(joined)))
        self._set_refresh()
        self.receiving.see(joined.others)
        if isinstance(self.negotiator, Offering):
            self.negotiator.changed()

    def resume(self, outbox: Outbox, joined: Joined) -> None:
        """The client is back on another socket; what it missed is told anew."""
        old, self._outbox = self._outbox, outbox
        if old is not None:
            old.abort()
        self._stop_grace()
        back = rtc.ReconnectResponse(server_info=server_info(), last_message_seq=self.last_sequence)
        self.send(rtc.SignalResponse(reconnect=back))
        self.send(rtc.SignalResponse(room_update=rtc.RoomUpdate(room=joined.room)))
        everybody = (*joined.others, joined.participant)
        self.send(rtc.SignalResponse(update=rtc.ParticipantUpdate(participants=everybody)))
        self.receiving.see(joined.others)
        self.negotiator.restart()

    def lost(self, outbox: Outbox) -> None:
        """A socket is gone. Nothing happens if the client has another by now."""
        if outbox is not self._outbox:
            return
        self._outbox = None
        if self.is_over or self._goodbye is not None:
            return
        if not self._is_active:
            self.leave(models.SIGNAL_CLOSE)
        elif self._has_failed and not self._is_sent_away:
            self.leave(models.CONNECTION_TIMEOUT)
        else:
            self._start_grace()

    def say_goodbye(self, reason: models.DisconnectReason) -> None:
        """The client leaves. Where it was told that it is connected a moment before this end knows, that moment is
        awaited: it has joined and left then, as its user saw it (livekit#4227).
        """
        if self._is_active or not self.peer.is_connecting:
            self.leave(reason)
        elif self._goodbye is None:
            self._goodbye = reason
            self._grace = self._loop.call_later(_LAST_STEP_S, self.leave, reason)

    def leave(self, reason: models.DisconnectReason) -> None:
        """Out of the room; the machine's last notice ends the session."""
        self._hub.do(self._hub.participants.leave, self.sid, reason)

    def end_track(self, track_sid: str) -> None:
        """The client has given a track up."""
        if not self.is_over:
            self._hub.do(self._hub.tracks.remove, self.sid, track_sid)

    def permit(self, permissions: rtc.SubscriptionPermission) -> None:
        """The participant says who may have its tracks."""
        self._permissions = permissions
        for other in self._sessions.in_room(self.room):
            if other is not self:
                other.told_permissions(self)
                other.receiving.review()

    def told_permissions(self, publisher: Session) -> None:
        """Tells the client which of a publisher's tracks it may have."""
        for track_sid in publisher.publishing.tracks:
            allowed = publisher.lets(self.sid, self.identity, track_sid)
            update = rtc.SubscriptionPermissionUpdate(
                participant_sid=publisher.sid, track_sid=track_sid, allowed=allowed
            )
            self.send(rtc.SignalResponse(subscription_permission_update=update))

    def lets(self, subscriber_sid: str, subscriber_identity: str, track_sid: str) -> bool:
        """Whether this participant lets another have one of its tracks."""
        permissions = self._permissions
        if permissions is None or permissions.all_participants:
            return True
        return any(
            one.all_tracks or track_sid in one.track_sids
            for one in permissions.track_permissions
            if subscriber_sid == one.participant_sid or subscriber_identity == one.participant_identity
        )

    def tell(self, notice: Notice) -> None:
        """Passes a notice of the machine's on to the client, and does what it means for its media."""
        response = as_response(notice)
        if response is not None:
            self.send(response)
        match notice:
            case Left():
                self._end(notice)
            case Moved():
                self._move(notice)
            case GrantsChanged():
                self._take_grants(notice.participant)
            case DataSent():
                label = LOSSY if notice.packet.kind == models.DataPacket.LOSSY else RELIABLE
                self.peer.channels.send(label, notice.packet.SerializeToString())
            case _:
                self._follow(notice)

    def _follow(self, notice: Notice) -> None:
        """What a notice means for what is published and what is got."""
        match notice:
            case ParticipantsChanged():
                self.receiving.see(one for one in notice.participants if one.sid != self.sid)
            case SubscriptionsChanged():
                self.receiving.wish(notice.track_sids, subscribe=notice.subscribe)
            case TrackAccepted():
                self.publishing.announce(notice.cid, notice.track)
            case TrackMuted():
                self.publishing.mute(notice.track_sid, muted=notice.muted)
            case TrackRemoved():
                self._sessions.sources.pop(notice.track_sid, None)
                self.publishing.drop(notice.track_sid)
            case _:
                pass  # the client was told, and that is all

    def _join_response(self, joined: Joined) -> rtc.JoinResponse:
        settings = self._sessions.settings
        return rtc.JoinResponse(
            room=joined.room,
            participant=joined.participant,
            other_participants=joined.others,
            server_version=SERVER_VERSION,
            server_info=server_info(),
            subscriber_primary=self.is_subscriber_primary,
            ping_interval=settings.ping_interval_s,
            ping_timeout=settings.ping_timeout_s,
            enabled_publish_codecs=[models.Codec(mime=mime) for mime in MIME_TYPES],
            fast_publish=joined.participant.permission.can_publish,
        )

    @property
    def _may_subscribe(self) -> bool:
        return self.participant.permission.can_subscribe

    def _take_grants(self, participant: models.ParticipantInfo) -> None:
        self.participant = participant
        self.receiving.permit(may_subscribe=self._may_subscribe)
        self._send_token()

    def _move(self, notice: Moved) -> None:
        """Another room and another sid; the connection, the session and its media stay."""
        sessions = self._sessions
        del sessions.by_sid[self.sid]
        self.sid, self.room, self.participant = notice.participant.sid, notice.room.name, notice.participant
        sessions.by_sid[self.sid] = self
        moved = rtc.RoomMovedResponse(
            room=notice.room, token=self._token(), participant=notice.participant, other_participants=notice.others
        )
        self.send(rtc.SignalResponse(room_moved=moved))
        self.receiving.forget()
        self.receiving.see(notice.others)

    def _end(self, notice: Left) -> None:
        """The last notice: says so to the client, unless it said so first, and ends all that is its."""
        self.is_over = True
        outbox, self._outbox = self._outbox, None
        if outbox is not None:
            if notice.reason not in _SAID_BY_THE_CLIENT:
                again = notice.action != rtc.LeaveRequest.DISCONNECT
                leave = rtc.LeaveRequest(reason=notice.reason, action=notice.action, can_reconnect=again)
                outbox.put(rtc.SignalResponse(leave=leave))
            outbox.finish()
        self._stop_grace()
        if self._refresh is not None:
            self._refresh.cancel()
        for track_sid in self.publishing.tracks:
            self._sessions.sources.pop(track_sid, None)
        self.publishing.close()
        self.negotiator.close()
        self._sessions.by_sid.pop(self.sid, None)
        self._sessions.spawn(self.peer.close())

    def _on_connected(self) -> None:
        self._is_active = True
        self._hub.do(self._hub.participants.connect, self.sid)
        if self._goodbye is not None:
            self.leave(self._goodbye)
            return
        early, self._early = self._early, []
        for media in early:
            self._on_live(*media)
        if isinstance(self.negotiator, Asking):
            self.negotiator.open()

    def _on_failed(self) -> None:
        """A media connection is gone. Who leaves closes it just before saying so; anybody else is to come back."""
        if self.is_over:
            return
        self._has_failed = True
        if self._goodbye is not None:
            self.leave(self._goodbye)
            return
        if self._outbox is None or not self._is_active:
            self.leave(models.CONNECTION_TIMEOUT if self._is_active else models.JOIN_FAILURE)
            return
        self._stop_grace()
        self._grace = self._loop.call_later(_LAST_WORD_S, self._send_away)

    def _send_away(self) -> None:
        """Closes the socket, so that the client comes back; it is told to begin anew then."""
        self._grace = None
        self._is_sent_away = True
        self._start_grace()
        if self._outbox is not None:
            self._outbox.finish()

    def _on_live(self, track_sid: str, source: Source, codec: Codec, mid: str) -> None:
        if self.is_over:
            return
        if not self._is_active:
            self._early.append((track_sid, source, codec, mid))
            return
        self._sessions.sources[track_sid] = source
        try:
            mime_type = codec.mime_type(source.kind)
            self._hub.do(self._hub.tracks.media, self.sid, track_sid, mime_type=mime_type, mid=mid)
        except Refused as refusal:  # it was removed before its media came
            _log.debug("Media of track %s is for nobody: %s", track_sid, refusal)

    def _start_grace(self) -> None:
        if self._grace is None:
            self._grace = self._loop.call_later(
                self._sessions.settings.resume_timeout_s, self.leave, models.CONNECTION_TIMEOUT
            )

    def _stop_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def _set_refresh(self) -> None:
        self._refresh = self._loop.call_later(self._sessions.settings.token_interval_s, self._on_refresh)

    def _on_refresh(self) -> None:
        self._send_token()
        self._set_refresh()

    def _send_token(self) -> None:
        self.send(rtc.SignalResponse(refresh_token=self._token()))

    def _token(self) -> str:
        claims, now_s = grants_of(self.participant, self.room), self._sessions.now_s
        return self._sessions.keys.sign_access(claims, api_key=self._api_key, now=now_s, life_s=TOKEN_LIFE_S)


_LAST_STEP_S: Final = 1.0
"""How long a client that has left may take to be connected."""

_LAST_WORD_S: Final = 1.0
"""How long after its media connection a client's goodbye is awaited."""

_SAID_BY_THE_CLIENT: Final = (models.CLIENT_INITIATED, models.USER_UNAVAILABLE, models.USER_REJECTED)
