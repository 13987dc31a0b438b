"""A notice of the machine's in the words that LiveKit's clients know."""

from __future__ import annotations

from livekit.protocol import rtc

from roombell.rooms.effects import Notice, ParticipantsChanged, RoomChanged, TrackAccepted, TrackMuted, TrackRemoved


def as_response(notice: Notice) -> rtc.SignalResponse | None:
    """None where a client is told by other means, or needs not be told."""
    match notice:
        case ParticipantsChanged():
            return rtc.SignalResponse(update=rtc.ParticipantUpdate(participants=notice.participants))
        case RoomChanged():
            return rtc.SignalResponse(room_update=rtc.RoomUpdate(room=notice.room))
        case TrackAccepted():
            return rtc.SignalResponse(track_published=rtc.TrackPublishedResponse(cid=notice.cid, track=notice.track))
        case TrackRemoved():
            return rtc.SignalResponse(track_unpublished=rtc.TrackUnpublishedResponse(track_sid=notice.track_sid))
        case TrackMuted():
            return rtc.SignalResponse(mute=rtc.MuteTrackRequest(sid=notice.track_sid, muted=notice.muted))
        case _:
            return None
